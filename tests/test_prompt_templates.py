"""The named templates give the prompts of the conformance data, and names lead to the right one."""

import ast
import contextlib
import itertools
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from prompt_templates import TEMPLATES, infer_is_instruct, infer_template
from utils.chat_template import ChatTemplate
from utils.errors import TemplateRefused

ROOT = Path(__file__).parent.parent
DATA = json.loads((ROOT / "tests/data/chat_templates.json").read_text("utf-8"))
FAMILIES = {family["family"]: family for family in DATA["families"]}
CASES = [pytest.param(name, case, id=f"{name}-{case['name']}") for name, f in FAMILIES.items() for case in f["cases"]]
THAT_DAY = datetime(2024, 7, 26)

CHATML = ["<|im_start|>", "<|im_end|>"]
LLAMA_3 = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]

# The families whose published templates refuse a wrong order of roles.
STRICT = {
    "llama-2-chat",
    "mistral-instruct-v0.1",
    "mistral-instruct-v0.2",
    "mixtral-instruct",
    "mistral-v1-with-system",
    "mistral-instruct-v0.3",
    "mistral-nemo-instruct",
    "codestral",
    "gemma-it",
    "gemma-2-it",
    "gemma-3-it",
    "command-r",
    "codellama-70b-instruct",
}


def ours(name: str) -> ChatTemplate:
    family = FAMILIES[name]
    return ChatTemplate(TEMPLATES[name].source, bos_token=family["bos_token"], eos_token=family["eos_token"])


def published(name: str) -> ChatTemplate:
    family = FAMILIES[name]
    return ChatTemplate(family["chat_template"], bos_token=family["bos_token"], eos_token=family["eos_token"])


def family_of(model_id: str, **traits: Any) -> str | None:
    template = infer_template(model_id, **traits)
    return template and template.name


def test_each_family_has_one_template_of_its_name() -> None:
    assert list(TEMPLATES) == list(FAMILIES)
    assert all(template.name == name for name, template in TEMPLATES.items())


@pytest.mark.parametrize(("name", "case"), CASES)
def test_our_template_gives_the_prompt_of_the_data(name: str, case: dict[str, Any]) -> None:
    """Where the published one refuses or loses the system text, ours merges it into the first user turn."""
    expected = case.get("merged_expected") or case["expected"]
    messages, opened = case["messages"], case["add_generation_prompt"]
    assert ours(name).render(messages, add_generation_prompt=opened, now=THAT_DAY) == expected
    assert ours(name).render_conversation(messages, add_generation_prompt=opened, now=THAT_DAY) == expected


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_stop_tokens_are_those_of_the_data(name: str) -> None:
    assert TEMPLATES[name].stop_tokens == tuple(FAMILIES[name]["stop_tokens"])


@pytest.mark.parametrize(("name", "case"), CASES)
def test_writes_bos_tells_whether_the_prompt_starts_with_one(name: str, case: dict[str, Any]) -> None:
    prompt = ours(name).render_conversation(case["messages"], now=THAT_DAY)
    bos = FAMILIES[name]["bos_token"]
    assert TEMPLATES[name].writes_bos is bool(case.get("merged_starts_with_bos", case["starts_with_bos"]))
    if TEMPLATES[name].writes_bos:
        assert prompt.startswith(bos)
        assert not prompt.removeprefix(bos).startswith(bos)


@pytest.mark.parametrize("name", TEMPLATES)
def test_our_template_takes_a_system_text(name: str) -> None:
    assert ours(name).takes_system


@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name]["chat_template"]])
def test_our_template_ends_an_answer_as_the_published_one_does(name: str) -> None:
    assert ours(name).text_after_answer() == published(name).text_after_answer()


@pytest.mark.parametrize("name", sorted(STRICT))
@pytest.mark.parametrize("roles", ["user user", "assistant", "user assistant assistant", "system assistant"])
def test_a_wrong_order_of_roles_is_refused_where_the_published_template_refuses_it(name: str, roles: str) -> None:
    messages = [{"role": role, "content": "x"} for role in roles.split()]
    with pytest.raises(TemplateRefused, match="alternate"):
        ours(name).render(messages)


CONTENTS = {"user": (" Hello", "And\n"), "assistant": ("<think>\nmm\n</think>\n\nSure ", "\nYes")}


@pytest.mark.parametrize("add_generation_prompt", [True, False])
@pytest.mark.parametrize("name", [name for name in FAMILIES if FAMILIES[name]["chat_template"]])
def test_our_template_renders_any_usual_conversation_as_the_published_one(
    name: str, add_generation_prompt: bool
) -> None:
    """Longer ones than the data has, ending with either role, and with thoughts in the answers."""
    for length, system in itertools.product(range(1, 6), (None, " Be\nbrief. ")):
        messages = [] if system is None else [{"role": "system", "content": system}]
        for turn in range(length):
            role = ("user", "assistant")[turn % 2]
            messages.append({"role": role, "content": CONTENTS[role][turn // 2 % 2]})
        if system and messages[-1]["role"] == "assistant" and "last user" in FAMILIES[name]["system_role"]:
            continue  # The published template loses the system text there; the next test shows that ours does not.
        options = {"add_generation_prompt": add_generation_prompt, "now": THAT_DAY}
        assert ours(name).render_conversation(messages, **options) == published(name).render_conversation(
            messages, **options
        )


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_system_text_is_lost_wherever_the_conversation_ends(name: str) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ]
    for length in (2, 3, 4):
        assert ours(name).render(conversation[:length], now=THAT_DAY).count("Be brief.") == 1
    with contextlib.suppress(TemplateRefused):  # A refusal is said, not lost.
        assert "Be brief." in ours(name).render(conversation[:1], now=THAT_DAY)


@pytest.mark.parametrize("name", ["qwen3", "qwq-32b", "deepseek-r1-distill"])
def test_earlier_answers_lose_their_thoughts(name: str) -> None:
    conversation = [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>\nHmm.\n</think>\n\nHi"},
        {"role": "user", "content": "Bye"},
    ]
    prompt = ours(name).render(conversation)
    assert "Hmm." not in prompt
    assert "Hi" in prompt


@pytest.mark.parametrize(
    ("name", "variables", "end"),
    [
        ("qwen3", {"enable_thinking": False}, "assistant\n<think>\n\n</think>\n\n"),
        ("qwen3", {"enable_thinking": True}, "assistant\n"),
        ("qwq-32b", {"enable_thinking": True}, "assistant\n<think>\n"),
        ("gpt-oss", {"reasoning_effort": "high"}, "<|start|>assistant"),
    ],
)
def test_the_published_switches_work(name: str, variables: dict[str, Any], end: str) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    prompt = ours(name).render(messages, now=THAT_DAY, **variables)
    assert prompt.endswith(end)
    assert prompt == published(name).render(messages, now=THAT_DAY, **variables)


def test_an_empty_system_text_leaves_no_empty_block_in_a_user_turn() -> None:
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": "Hello"}]
    for name in ("llama-2-chat", "mistral-instruct-v0.2", "mistral-nemo-instruct", "gemma-2-it", "phi-3-mini-instruct"):
        assert ours(name).render(messages) == ours(name).render(messages[1:])


# --- Names


@pytest.mark.parametrize("entry", DATA["names"], ids=lambda entry: entry["model_id"])
def test_a_name_of_the_data_leads_to_its_family(entry: dict[str, Any]) -> None:
    assert infer_is_instruct(entry["model_id"]) is entry["is_instruct"]
    assert family_of(entry["model_id"]) == entry["family"]


@pytest.mark.parametrize("model_id", DATA["base_models"])
def test_a_base_model_gets_no_template_whatever_its_tokenizer_has(model_id: str) -> None:
    assert infer_is_instruct(model_id) is False
    assert family_of(model_id, architecture="Qwen2ForCausalLM", special_tokens=[*CHATML, *LLAMA_3, "[INST]"]) is None


@pytest.mark.parametrize(
    ("model_id", "family"),
    [
        (model_id, name)
        for name, family in FAMILIES.items()
        for model_id in family["model_ids"]
        # An older revision of the same repositories: the name cannot tell them apart.
        if name != "mistral-v1-with-system"
    ],
)
def test_a_model_of_a_family_leads_to_it_in_any_spelling(model_id: str, family: str) -> None:
    name = model_id.rpartition("/")[2]
    for spelling in (model_id, name, name.upper(), f"me/{name.lower()}", f"{name}-GGUF", f"{name}-AWQ-INT4"):
        assert family_of(spelling) == family, spelling
        assert infer_is_instruct(spelling) is True, spelling


OTHER_NAMES = [
    # Newer versions, other sizes, other vendors.
    ("meta-llama/Llama-3.3-70B-Instruct", "llama-3.1-instruct"),
    ("nvidia/Llama-3_1-Nemotron-51B-Instruct", "llama-3.1-instruct"),
    ("meta-llama/Llama-3.2-11B-Vision-Instruct", "llama-3.2-instruct"),
    ("gradientai/Llama-3-8B-Instruct-Gradient-1048k", "llama-3-instruct"),
    ("codellama/CodeLlama-34b-Instruct-hf", "llama-2-chat"),
    ("Qwen/Qwen1.5-MoE-A2.7B-Chat", "qwen1.5-chat"),
    ("Qwen/Qwen2-57B-A14B-Instruct", "qwen2-instruct"),
    ("Qwen/Qwen2.5-14B-Instruct-1M", "qwen2.5-instruct"),
    # Its default system text is the older one.
    ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2-instruct"),
    ("Qwen/Qwen3-235B-A22B", "qwen3"),
    ("Qwen/Qwen3-4B-Instruct-2507", "qwen3"),
    ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", "qwen3"),
    ("google/gemma-1.1-7b-it", "gemma-it"),
    ("google/gemma-2-27b-it", "gemma-2-it"),
    ("google/gemma-3-270m-it", "gemma-3-it"),
    ("google/gemma-3-12b-it-qat-q4_0-gguf", "gemma-3-it"),
    ("microsoft/Phi-3-medium-128k-instruct", "phi-3-mini-instruct"),
    ("microsoft/Phi-3.5-MoE-instruct", "phi-3.5-mini-instruct"),
    ("mistralai/Ministral-8B-Instruct-2410", "mistral-nemo-instruct"),
    ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "smollm2-instruct"),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", "deepseek-r1-distill"),
    ("deepseek-ai/DeepSeek-V2-Chat", "deepseek-chat"),
    ("deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct", "deepseek-chat"),
    ("ibm-granite/granite-3.0-1b-a400m-instruct", "granite-3.0-instruct"),
    ("ibm-granite/granite-3.1-8b-instruct", "granite-3.3-instruct"),
    ("allenai/OLMo-2-0425-1B-Instruct", "olmo-2-instruct"),
    ("allenai/OLMo-2-1124-7B-DPO", "olmo-2-instruct"),
    ("teknium/OpenHermes-2.5-Mistral-7B", "chatml-plain"),
    ("NousResearch/Nous-Hermes-2-Yi-34B", "chatml-plain"),
    ("NousResearch/Nous-Hermes-13b", "alpaca"),
    ("cognitivecomputations/dolphin-2.7-mixtral-8x7b", "dolphin-mixtral"),
    ("cognitivecomputations/Dolphin3.0-Llama3.1-8B", "chatml-plain"),
    ("internlm/internlm2-chat-7b", "chatml-plain"),
    ("internlm/internlm2_5-7b-chat", "chatml-plain"),
    ("stabilityai/stablelm-zephyr-3b", "zephyr"),
    ("CohereForAI/c4ai-command-r-08-2024", "command-r"),
    ("CohereForAI/aya-expanse-8b", "command-r"),
    ("01-ai/Yi-1.5-34B-Chat-16K", "yi-1.5-chat"),
    ("lmsys/vicuna-33b-v1.3", "vicuna"),
    ("Nexusflow/Starling-LM-7B-beta", "starling"),
    # Quantised copies, files, tags and paths.
    ("turboderp/Llama-3.1-8B-Instruct-exl2-5.0bpw", "llama-3.1-instruct"),
    ("mlx-community/Meta-Llama-3.1-8B-Instruct-4bit", "llama-3.1-instruct"),
    ("RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "llama-3.1-instruct"),
    ("neuralmagic/Meta-Llama-3-8B-Instruct-FP8-KV", "llama-3-instruct"),
    ("unsloth/Qwen3-8B-unsloth-bnb-4bit", "qwen3"),
    ("Meta-Llama-3-8B-Instruct.Q4_K_M.gguf", "llama-3-instruct"),
    ("llama3:8b-instruct-q4_0", "llama-3-instruct"),
    ("weights/models--Qwen--Qwen2.5-7B-Instruct/snapshots/0123abcd", "qwen2.5-instruct"),
    ("./models/phi-4/", "phi-4"),
]


@pytest.mark.parametrize(("model_id", "family"), OTHER_NAMES)
def test_a_name_that_the_data_does_not_hold_leads_to_its_family(model_id: str, family: str) -> None:
    assert infer_is_instruct(model_id) is True
    assert family_of(model_id) == family


@pytest.mark.parametrize(
    "model_id",
    [
        "microsoft/Phi-4-mini-instruct",
        "microsoft/Phi-4-reasoning",
        "Qwen/Qwen2.5-Math-7B-Instruct",
        "Qwen/Qwen3-4B-Thinking-2507",
        "Qwen/QwQ-32B-Preview",
        "mistralai/Mistral-Small-24B-Instruct-2501",
        "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
        "mistralai/Mistral-Large-Instruct-2411",
        "mistralai/Ministral-3-8B-Instruct-2512",
        "deepseek-ai/DeepSeek-V3",
        "deepseek-ai/DeepSeek-V2.5",
        "deepseek-ai/DeepSeek-R1-0528-Qwen3-8B",
        "HuggingFaceTB/SmolLM3-3B",
        "NousResearch/Hermes-4-70B",
        "CohereForAI/c4ai-command-r7b-12-2024",
        "openchat/openchat-3.6-8b-20240522",
        "01-ai/Yi-Coder-9B-Chat",
        "allenai/Llama-3.1-Tulu-3-8B",
    ],
)
def test_a_known_relative_with_another_format_gets_none_of_ours(model_id: str) -> None:
    tokens = [*CHATML, *LLAMA_3, "[INST]", "<|user|>", "<|assistant|>", "<|end|>"]
    assert infer_is_instruct(model_id) is True
    assert family_of(model_id, architecture="Qwen2ForCausalLM", special_tokens=tokens) is None


@pytest.mark.parametrize(
    "model_id",
    [
        "unsloth/Qwen2.5-7B-bnb-4bit",
        "unsloth/mistral-7b-v0.3-bnb-4bit",
        "TheBloke/Llama-2-7B-GGUF",
        "Meta-Llama-3-8B.Q8_0.gguf",
        "togethercomputer/LLaMA-2-7B-32K",
        "codellama/CodeLlama-70b-hf",
        "google/gemma-2-9b",
        "google/gemma-3-4b-pt",
        "google/gemma-3-270m",
        "google/codegemma-2b",
        "Qwen/Qwen1.5-MoE-A2.7B",
        "Qwen/Qwen2.5-Math-7B",
        "Qwen/Qwen3-30B-A3B-Base",
        "HuggingFaceTB/SmolLM3-3B-Base",
        "HuggingFaceTB/SmolLM2-1.7B",
        "mistralai/Mistral-Small-24B-Base-2501",
        "deepseek-ai/DeepSeek-V3-Base",
        "tiiuae/falcon-180B",
        "TinyLlama/TinyLlama_v1.1",
        "facebook/opt-1.3b",
        "openai-community/gpt2-xl",
        "EleutherAI/gpt-neo-2.7B",
        "Qwen/Qwen3-Embedding-0.6B",
    ],
)
def test_another_base_model_is_known_by_its_name(model_id: str) -> None:
    assert infer_is_instruct(model_id) is False
    assert family_of(model_id, special_tokens=CHATML) is None


@pytest.mark.parametrize(
    "model_id", ["me/my-llama-finetune", "model", "", "/", "src/weights", "meta-llama/Llama-Guard-3-8B", "my-mistral"]
)
def test_a_name_that_does_not_tell_is_left_open(model_id: str) -> None:
    assert infer_is_instruct(model_id) is None
    assert family_of(model_id, architecture="Qwen3ForCausalLM", special_tokens=CHATML) is None


@pytest.mark.parametrize(
    ("tokens", "architecture", "family"),
    [
        (CHATML, None, "chatml-plain"),
        ([*CHATML, "<|im_sep|>"], "Phi3ForCausalLM", "phi-4"),
        # A ChatML fine-tune of Llama 3 still owns Llama's tokens.
        ([*CHATML, *LLAMA_3], "LlamaForCausalLM", "chatml-plain"),
        (LLAMA_3, "LlamaForCausalLM", "llama-3-instruct"),
        (["[INST]", "[/INST]"], "MistralForCausalLM", "mistral-instruct-v0.3"),
        (["[INST]", "[/INST]", "[SYSTEM_PROMPT]"], "MixtralForCausalLM", None),
        (["<start_of_turn>"], None, "gemma-2-it"),
        (["<start_of_turn>", "<start_of_image>"], None, "gemma-3-it"),
        (["<|start_of_role|>"], None, "granite-3.0-instruct"),
        (["<|START_OF_TURN_TOKEN|>"], None, "command-r"),
        (["<|START_OF_TURN_TOKEN|>", "<|START_RESPONSE|>"], "CohereForCausalLM", None),
        (["<|end_of_turn|>"], "MistralForCausalLM", "openchat-3.5"),
        (["<|user|>", "<|assistant|>", "<|end|>"], "Phi3ForCausalLM", "phi-3.5-mini-instruct"),
        (["<|start|>", "<|channel|>", "<|message|>"], None, "gpt-oss"),
        ([], "MixtralForCausalLM", "mixtral-instruct"),
        ([], "Gemma2ForCausalLM", "gemma-2-it"),
        ([], "LlamaForCausalLM", None),
        ([], None, None),
    ],
)
def test_an_unknown_chat_model_is_told_by_its_tokens_then_its_architecture(
    tokens: list[str], architecture: str | None, family: str | None
) -> None:
    traits = {"architecture": architecture, "special_tokens": tokens}
    assert family_of("me/something-instruct", **traits) == family
    assert family_of("me/something", is_instruct=True, **traits) == family
    assert family_of("me/something", **traits) is None


def test_saying_that_it_is_no_chat_model_goes_before_its_tokens() -> None:
    assert family_of("me/something-instruct", special_tokens=CHATML, is_instruct=False) is None


# --- The module


def test_importing_the_table_compiles_no_template() -> None:
    program = "import sys, prompt_templates; print(*sorted({'jinja2', 'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_table_imports_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "prompt_templates.py").read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.partition(".")[0] for module in imported if module} <= sys.stdlib_module_names


def test_nobody_changes_the_table() -> None:
    with pytest.raises(TypeError):
        TEMPLATES["mine"] = TEMPLATES["zephyr"]  # type: ignore[index]
