"""Named chat templates, one for each family of models, and the rules that tell a model's family from its name.

The templates are this project's own Jinja, written after the prompts that the models were trained on; they hold
conversations, not tools. One rule about the system text: none of them refuses or loses a leading one. Where the
published template does, ours makes one user turn of it, a blank line and the first user text. A wrong order of roles
raises where the published template raises. `bos_token` and `eos_token` come from the tokenizer.

Nothing is compiled here: `utils/chat_template.py` does that to the one template a model needs.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class PromptTemplate:
    """A chat template: its Jinja text, the texts that end a turn, and whether it writes the BOS token itself."""

    name: str
    source: str
    stop_tokens: tuple[str, ...]
    writes_bos: bool


# --- Building blocks. Jinja drops a newline right after a `%}` here, so a text there starts with something else.

_BOS = "{{ bos_token }}"
_EOS = "{{ eos_token }}"
_ROLE = "{{ message['role'] }}"
_TEXT = "{{ message['content'] }}"
_TRIMMED = "{{ message['content']|trim }}"

# Sets `system`, empty where there is none, and `turns`, the messages after it.
_SPLIT = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = '' %}{% set turns = messages %}{% endif %}"
)
# The same for templates that write the system text into a user turn: alone it would be lost, so it is no system text.
_SPLIT_FOR_TURNS = _SPLIT.replace("== 'system'", "== 'system' and messages|length > 1")
# What the first or the last user turn starts with, in a loop over `turns`.
_SYSTEM_IF_FIRST = "(system ~ '\\n\\n' if system and loop.first else '')"
_SYSTEM_IF_LAST = "(system ~ '\\n\\n' if system and loop.index0 == (turns|length - 1) // 2 * 2 else '')"
_ALTERNATE = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
)
_REFUSE = "{{ raise_exception('Only user and assistant roles are supported, and a system message at the start') }}"


def _each(turn: str, over: str = "messages") -> str:
    return "{% for message in " + over + " %}" + turn + "{% endfor %}"


def _opener(text: str, otherwise: str = "") -> str:
    return "{% if add_generation_prompt %}" + text + ("{% else %}" + otherwise if otherwise else "") + "{% endif %}"


def _by_role(otherwise: str = "", **texts: str) -> str:
    """One text for each role."""
    branches = "".join("{% elif message['role'] == '" + role + "' %}" + text for role, text in texts.items())
    return "{% " + branches.removeprefix("{% el") + ("{% else %}" + otherwise if otherwise else "") + "{% endif %}"


def _inst(opener: str, closer: str, answer: str, system: str = _SYSTEM_IF_FIRST) -> str:
    """Mistral's `[INST]`: the families differ in spaces and in the turn that takes the system text."""
    user = opener + "{{ " + system + " ~ message['content'] }}" + closer
    return _BOS + _SPLIT_FOR_TURNS + _each(_ALTERNATE + _by_role(_REFUSE, user=user, assistant=answer), "turns")


def _default(text: str, before: str = "", after: str = "") -> str:
    """A system text for conversations without one."""
    return "{% if messages[0]['role'] != 'system' %}" + before + text + after + "{% endif %}"


def _chatml(system: str = "") -> str:
    head = _default(system, "<|im_start|>system\n", "<|im_end|>\n") if system else ""
    return head + _each(f"<|im_start|>{_ROLE}\n{_TEXT}<|im_end|>\n") + _opener("<|im_start|>assistant\n")


def _thinking(answer: str, opener: str) -> str:
    """ChatML of a model that thinks aloud; `answer` writes the content of an assistant's turn."""
    content = "{% if message['role'] == 'assistant' %}" + answer + "{% else %}" + _TEXT + "{% endif %}"
    return _each(f"<|im_start|>{_ROLE}\n{content}<|im_end|>\n") + _opener("<|im_start|>assistant\n" + opener)


def _gemma(content: str) -> str:
    role = "{{ 'model' if message['role'] == 'assistant' else message['role'] }}"
    turn = f"{_ALTERNATE}<start_of_turn>{role}\n{content}<end_of_turn>\n"
    return _BOS + _SPLIT_FOR_TURNS + _each(turn, "turns") + _opener("<start_of_turn>model\n")


def _headers(turns: str) -> str:
    """Llama 3's headers around each of `turns`."""
    turn = f"<|start_header_id|>{_ROLE}<|end_header_id|>\n\n{_TRIMMED}<|eot_id|>"
    return _each(turn, turns) + _opener("<|start_header_id|>assistant<|end_header_id|>\n\n")


def _dated_headers(date: str) -> str:
    """Llama 3.1 and later always write a system block, with a date."""
    system = (
        "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: {{ date_string if date_string is defined else " + date + " }}\n\n{{ system|trim }}<|eot_id|>"
    )
    return _BOS + _SPLIT + system + _headers("turns")


def _granite(head: str) -> str:
    turn = f"<|start_of_role|>{_ROLE}<|end_of_role|>{_TEXT}<|end_of_text|>\n"
    return head + _each(turn) + _opener("<|start_of_role|>assistant<|end_of_role|>")


def _falcon(assistant: str) -> str:
    """`Role: text` lines."""
    name = "{{ {'system': 'System', 'user': 'User', 'assistant': '" + assistant + "'}[message['role']] }}"
    line = "{% if not loop.first %}{{ '\\n' }}{% endif %}" + f"{name}: {_TEXT}"
    return _each(line) + _opener("{{ '\\n' }}" + assistant + ":")


def _template(name: str, source: str, *stop_tokens: str) -> PromptTemplate:
    return PromptTemplate(name, source, stop_tokens, writes_bos="bos_token" in source)


# --- The sources that take more than one expression.

_LLAMA_2 = _SPLIT_FOR_TURNS + _each(
    _ALTERNATE
    + _by_role(
        user=_BOS
        + "[INST] {{ (('<<SYS>>\\n' ~ system ~ '\\n<</SYS>>\\n\\n' if system and loop.first else '')"
        + " ~ message['content'])|trim }} [/INST]",
        assistant=f" {_TRIMMED} {_EOS}",
    ),
    "turns",
)
_CODELLAMA_70B = (
    _BOS
    + _SPLIT
    + "{% if system %}Source: system\n\n {{ system|trim }} <step> {% endif %}"
    + _each(f"{_ALTERNATE}Source: {_ROLE}\n\n {_TRIMMED} <step> ", "turns")
    + "Source: assistant\nDestination: user\n\n "
)
_ZEPHYR = _each(f"<|{_ROLE}|>\n{_TEXT}{_EOS}\n") + _opener("<|assistant|>\n")
# Earlier answers lose their thoughts; a last one keeps them, in a block that is empty where it has none.
_QWEN_3 = _thinking(
    "{% set parts = message['content'].split('</think>') %}"
    "{% if loop.last %}<think>\n"
    "{{ parts[0].split('<think>')[-1].strip('\\n') if parts|length > 1 else '' }}\n</think>\n\n"
    "{{ parts[-1].lstrip('\\n') }}"
    "{% else %}{{ parts[-1].lstrip('\\n') if parts|length > 1 else message['content'] }}{% endif %}",
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
)
_QWQ = _thinking(
    "{{ message['content'] if loop.last else message['content'].split('</think>')[-1].lstrip('\\n') }}",
    "<think>\n{% if not enable_thinking %}</think>{% endif %}",
)
_YI_1_5 = _each(
    _by_role(
        system=_TEXT,
        user=f"<|im_start|>user\n{_TEXT}<|im_end|>\n<|im_start|>assistant\n",
        assistant=f"{_TEXT}<|im_end|>\n",
    )
)
_PHI_3_MINI = (
    _BOS
    + _SPLIT_FOR_TURNS
    + _each(
        _by_role(
            _REFUSE,
            user="<|user|>\n{{ " + _SYSTEM_IF_FIRST + " ~ message['content'] }}<|end|>\n<|assistant|>\n",
            assistant=f"{_TEXT}<|end|>\n",
        ),
        "turns",
    )
)
_PHI_3_5 = _each(
    "{% if message['role'] != 'system' or message['content'] %}" + f"<|{_ROLE}|>\n{_TEXT}<|end|>\n" + "{% endif %}"
) + _opener("<|assistant|>\n", _EOS)
_PHI_3_SMALL = _BOS + _each(f"<|{_ROLE}|>\n{_TEXT}<|end|>\n") + _opener("<|assistant|>\n", _EOS)
_PHI_4 = _each(
    _by_role(
        system=f"<|im_start|>system<|im_sep|>{_TEXT}<|im_end|>",
        user=f"<|im_start|>user<|im_sep|>{_TEXT}<|im_end|><|im_start|>assistant<|im_sep|>",
        assistant=f"{_TEXT}<|im_end|>",
    )
)
_VICUNA = (
    _SPLIT
    + "{% if system %}{{ system }}{% else %}A chat between a curious user and an artificial intelligence assistant. "
    + "The assistant gives helpful, detailed, and polite answers to the user's questions.{% endif %} "
    + _each(_by_role(_REFUSE, user=f"USER: {_TEXT} ", assistant=f"ASSISTANT: {_TEXT}{_EOS}"), "turns")
    + _opener("ASSISTANT:")
)
_ALPACA = (
    _SPLIT
    + "{% if system %}{{ system }}{% else %}Below is an instruction that describes a task. "
    + "Write a response that appropriately completes the request.{% endif %}"
    + _each(
        _by_role(
            _REFUSE,
            user="{{ '\\n\\n' }}### Instruction:\n" + _TEXT,
            assistant="{{ '\\n\\n' }}### Response:\n" + _TEXT + _EOS,
        ),
        "turns",
    )
    + _opener("{{ '\\n\\n' }}### Response:")
)
_DEEPSEEK_CODER = (
    _BOS
    + "{% if 'system' not in messages|map(attribute='role') %}"
    + "You are an AI programming assistant, utilizing the Deepseek Coder model, developed by Deepseek Company, and you "
    + "only answer questions related to computer science. For politically sensitive questions, security and privacy "
    + "issues, and other non-computer science questions, you will refuse to answer\n{% endif %}"
    + _each(
        _by_role(
            system=_TEXT,
            user=f"### Instruction:\n{_TEXT}\n",
            assistant=f"### Response:\n{_TEXT}\n<|EOT|>\n",
        )
    )
    + _opener("### Response:\n")
)
_DEEPSEEK_CHAT = (
    _BOS
    + _each(_by_role(user=f"User: {_TEXT}\n\n", assistant=f"Assistant: {_TEXT}{_EOS}", system=f"{_TEXT}\n\n"))
    + _opener("Assistant:")
)
# The system text goes to the start from wherever it stands, and earlier answers lose their thoughts.
_DEEPSEEK_R1 = (
    _BOS
    + "{{ messages|selectattr('role', 'equalto', 'system')|map(attribute='content')|join('\\n\\n') }}"
    + _each(
        _by_role(
            user=f"<｜User｜>{_TEXT}",
            assistant="<｜Assistant｜>{{ message['content'].split('</think>')[-1] }}<｜end▁of▁sentence｜>",
        )
    )
    + _opener("<｜Assistant｜><think>\n")
)
_COMMAND_R = (
    _BOS
    + _SPLIT
    + "{% if system %}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{{ system }}<|END_OF_TURN_TOKEN|>{% endif %}"
    + _each(
        _ALTERNATE
        + "<|START_OF_TURN_TOKEN|>"
        + _by_role(_REFUSE, user="<|USER_TOKEN|>", assistant="<|CHATBOT_TOKEN|>")
        + f"{_TRIMMED}<|END_OF_TURN_TOKEN|>",
        "turns",
    )
    + _opener("<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>")
)
_GRANITE_3_3_SYSTEM = (
    "Knowledge Cutoff Date: April 2024.\nToday's Date: {{ strftime_now('%B %d, %Y') }}.\n"
    "You are Granite, developed by IBM. You are a helpful AI assistant."
)
_OLMO_2 = (
    _BOS
    + _each(
        _by_role(
            system=f"<|system|>\n{_TEXT}\n",
            user=f"<|user|>\n{_TEXT}\n",
            assistant=f"<|assistant|>\n{_TEXT}{_EOS}" + "{{ '' if loop.last else '\\n' }}",
        )
    )
    + _opener("<|assistant|>\n")
)
_OPENCHAT = (
    _BOS
    + _each("GPT4 Correct {{ message['role']|title }}: " + f"{_TEXT}<|end_of_turn|>")
    + _opener("GPT4 Correct Assistant:")
)
_SOLAR = _each(
    _by_role(
        system="{% if message['content'] %}### System:\n" + _TEXT + "\n\n{% endif %}",
        user=f"### User:\n{_TEXT}\n\n",
        assistant=f"### Assistant:\n{_TEXT}",
    )
) + _opener("### Assistant:\n")
_GPT_OSS = (
    "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\n"
    "Knowledge cutoff: 2024-06\nCurrent date: {{ strftime_now('%Y-%m-%d') }}\n\n"
    "Reasoning: {{ reasoning_effort if reasoning_effort is defined else 'medium' }}\n\n"
    "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>"
    + _SPLIT
    + "{% if system %}<|start|>developer<|message|># Instructions\n\n{{ system }}\n\n<|end|>{% endif %}"
    + _each(
        _by_role(
            _REFUSE,
            user=f"<|start|>user<|message|>{_TEXT}<|end|>",
            assistant=f"<|start|>assistant<|channel|>final<|message|>{_TEXT}"
            "{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}",
        ),
        "turns",
    )
    + _opener("<|start|>assistant")
)
_MISTRAL_V3 = _inst("[INST] ", "[/INST]", f" {_TRIMMED}{_EOS}", _SYSTEM_IF_LAST)
_CHATML_STOPS = ("<|im_end|>", "<|endoftext|>")

# --- The table.

TEMPLATES: Mapping[str, PromptTemplate] = MappingProxyType(
    {
        template.name: template
        for template in (
            _template("llama-2-chat", _LLAMA_2, "</s>"),
            _template("llama-3-instruct", _BOS + _headers("messages"), "<|eot_id|>", "<|end_of_text|>"),
            _template(
                "llama-3.1-instruct", _dated_headers("'26 Jul 2024'"), "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"
            ),
            _template(
                "llama-3.2-instruct",
                _dated_headers("strftime_now('%d %b %Y')"),
                *("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
            ),
            _template("mistral-instruct-v0.1", _inst("[INST] ", " [/INST]", f"{_TEXT}{_EOS} "), "</s>"),
            _template("mistral-instruct-v0.2", _inst("[INST] ", " [/INST]", f"{_TEXT}{_EOS}"), "</s>"),
            _template("mixtral-instruct", _inst("[INST] ", " [/INST]", f"{_TEXT}{_EOS}"), "</s>"),
            _template("mistral-v1-with-system", _inst(" [INST] ", " [/INST]", f" {_TEXT}{_EOS}"), "</s>"),
            _template("mistral-instruct-v0.3", _MISTRAL_V3, "</s>"),
            _template("mistral-nemo-instruct", _inst("[INST]", "[/INST]", f"{_TEXT}{_EOS}", _SYSTEM_IF_LAST), "</s>"),
            _template("codestral", _MISTRAL_V3, "</s>"),
            _template("zephyr", _ZEPHYR, "</s>"),
            _template("tinyllama-chat", _ZEPHYR, "</s>"),
            _template("chatml-plain", _chatml(), "<|im_end|>"),
            _template("dolphin-mixtral", _chatml(), "<|im_end|>"),
            _template(
                "zephyr-gemma",
                _BOS + _chatml() + "{% if messages[-1]['role'] == 'assistant' and not add_generation_prompt %}"
                "{{ eos_token }}{% endif %}",
                *("<|im_end|>", "<eos>"),
            ),
            _template("hermes-3", _BOS + _chatml(), "<|im_end|>", "<|end_of_text|>"),
            _template("qwen1.5-chat", _chatml("You are a helpful assistant"), *_CHATML_STOPS),
            _template("qwen2-instruct", _chatml("You are a helpful assistant."), *_CHATML_STOPS),
            _template(
                "qwen2.5-instruct",
                _chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
                *_CHATML_STOPS,
            ),
            _template("qwen3", _QWEN_3, *_CHATML_STOPS),
            _template("qwq-32b", _QWQ, *_CHATML_STOPS),
            _template("yi-chat", _chatml(), *_CHATML_STOPS),
            _template("yi-1.5-chat", _YI_1_5, *_CHATML_STOPS),
            _template(
                "smollm2-instruct",
                _chatml("You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
                *_CHATML_STOPS,
            ),
            _template(
                "gemma-it",
                _gemma("{{ (" + _SYSTEM_IF_FIRST + " ~ message['content'])|trim }}"),
                "<end_of_turn>",
                "<eos>",
            ),
            _template(
                "gemma-2-it",
                _gemma("{{ (" + _SYSTEM_IF_FIRST + " ~ message['content'])|trim }}"),
                "<end_of_turn>",
                "<eos>",
            ),
            _template("gemma-3-it", _gemma("{{ " + _SYSTEM_IF_FIRST + " }}" + _TRIMMED), "<end_of_turn>", "<eos>"),
            _template("phi-3-mini-instruct", _PHI_3_MINI, "<|end|>", "<|endoftext|>"),
            _template("phi-3.5-mini-instruct", _PHI_3_5, "<|end|>", "<|endoftext|>"),
            _template("phi-3-small-instruct", _PHI_3_SMALL, "<|end|>", "<|endoftext|>"),
            _template("phi-4", _PHI_4, *_CHATML_STOPS),
            _template("vicuna", _VICUNA, "</s>"),
            _template("alpaca", _ALPACA, "</s>"),
            _template("falcon-instruct", _falcon("Assistant"), "<|endoftext|>", "\nUser:"),
            _template("falcon-180b-chat", _falcon("Falcon"), "<|endoftext|>", "\nUser:"),
            _template("deepseek-coder-instruct", _DEEPSEEK_CODER, "<|EOT|>", "<｜end▁of▁sentence｜>"),
            _template("deepseek-chat", _DEEPSEEK_CHAT, "<｜end▁of▁sentence｜>"),
            _template("deepseek-r1-distill", _DEEPSEEK_R1, "<｜end▁of▁sentence｜>"),
            _template("command-r", _COMMAND_R, "<|END_OF_TURN_TOKEN|>"),
            _template("granite-3.0-instruct", _granite(""), "<|end_of_text|>"),
            _template(
                "granite-3.3-instruct",
                _granite(_default(_GRANITE_3_3_SYSTEM, "<|start_of_role|>system<|end_of_role|>", "<|end_of_text|>\n")),
                "<|end_of_text|>",
            ),
            _template("olmo-2-instruct", _OLMO_2, "<|endoftext|>"),
            _template("openchat-3.5", _OPENCHAT, "<|end_of_turn|>"),
            _template("starling", _OPENCHAT, "<|end_of_turn|>"),
            _template("solar-instruct", _SOLAR, "</s>"),
            _template("codellama-70b-instruct", _CODELLAMA_70B, "</s>", "<step>"),
            _template("gpt-oss", _GPT_OSS, "<|return|>", "<|call|>"),
        )
    }
)


# --- Names. A name is compared in lower case, without its owner and its quantisation, its words parted by "-".

_QUANTISATION = re.compile(
    r"[-.](?:gguf|ggml|awq|gptq|exl[23]|mlx|hqq|aqlm|bnb|eetq|marlin|onnx|openvino|ov|safetensors|quantized|quant|quanto"
    r"|autoround|torchao|unsloth|dynamic|static|imat|imatrix|i1|qat|dwq|ud|sym|asym|main|latest|kv|hf"
    r"|[bf]p?(?:16|32)|float16|fp[48]|nvfp4|mxfp[48]|nf4|int[48]|w\d+a\d+|\d+(?:\.\d+)?-?(?:bits?|bpw)|(?:gs?)?\d+g"
    r"|i?q\d(?:-(?:[01klms]|x[sl]|xxs|nl))*)$"
)


def _plain_name(model_id: str) -> str:
    """`TheBloke/Llama-2-7B-Chat-AWQ` → `llama-2-7b-chat`; takes paths, and folders of the Hub's cache, too."""
    cached = re.search(r"models--(?:[^/]*?--)?([^/]+)", model_id)
    name = cached[1] if cached else model_id.rstrip("/").rpartition("/")[2]
    name = re.sub(r"[\s_:@-]+", "-", name.lower())
    while (shorter := _QUANTISATION.sub("", name)) != name:
        name = shorter
    return name


def _words(alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|-)(?:{alternatives})(?:-|$)")


_BASE_WORDS = _words("base|pretrain|pretrained|pt|foundation|intermediate|embed|embedding|reranker")
_CHAT_WORDS = _words(r"instruct(?:ion|ed)?|inst|chat|it|dpo|rlhf|orpo|assistant|tulu|chatml")
# Models that judge texts instead of answering: their own template, or none.
_JUDGES = re.compile(r"(?:^|-)(?:guard|guardian|reward|rm|[op]rm)(?:-|$)|shieldgemma")

_SIZE = r"\d+(?:[.-]\d+)?[bm]"
# Names that are a base model's when nothing else stands in them.
_BARE_BASE = re.compile(
    rf"""(?x)
      (?:meta-)?llama (?:-?[23](?:[.-][123])?)? -{_SIZE} (?:-\d+k)?
    | open-?llama (?:-{_SIZE})(?:-v2)? | code-?llama -{_SIZE} (?:-python)? | tinyllama-v1[.-]1
    | mistral-{_SIZE} (?:-v0[.-]\d)? | mixtral-\d+x{_SIZE} (?:-v0[.-]\d)?
    | (?:distil)?gpt-?2 (?:-(?:medium|large|xl))? | gpt-(?:neo|neox|j) -{_SIZE} | pythia-{_SIZE} (?:-deduped)? (?:-v0)?
    | bloom (?:-{_SIZE}\d?)? | opt-{_SIZE} | mpt-{_SIZE} | falcon (?:-?2|-mamba|-rw)? -{_SIZE}
    | (?:code)?qwen-?(?:1[.-]5|2|2[.-]5)? (?:-(?:coder|math|moe))? -a?{_SIZE} (?:-a{_SIZE})?
    | (?:code|recurrent)?gemma (?:-?2)? -{_SIZE} | gemma-?3-270m
    | phi-?(?:1|1[.-]5|2) | yi (?:-1[.-]5|-coder)? -{_SIZE} (?:-\d+k)?
    | deepseek-v2 (?:-lite)? | starcoder(?:2)? (?:-{_SIZE})? | starcoderbase (?:-{_SIZE})? | santacoder
    | olmo (?:e)? (?:-?2)? (?:-\d{{4}})? -{_SIZE} (?:-\d{{4}})? | internlm-?(?:2|2[.-]5)? -{_SIZE} | glm-4-9b
    | stablelm (?:-2)? -{_SIZE} | smollm2? -{_SIZE} | mamba (?:-?2)? -{_SIZE} | solar-10[.-]7b-v1[.-]0
    """
)

# Chat models by the start of some word in their name, the first that matches; a family of None is a format that none of
# the templates has. `~` stands for instruct, chat or it as one of the words that follow.
_NAMES: tuple[tuple[str, str | None], ...] = (
    # Fine-tunes speak another format than the model whose name they carry, so they come first.
    (r"r1-distill", "deepseek-r1-distill"),
    (r"hermes-(?:2-pro|2-theta|3)-", "hermes-3"),
    (r"nous-hermes-2-|openhermes-2[.-]", "chatml-plain"),
    (r"nous-hermes-(?:llama|\d+b)|openhermes-\d+b$", "alpaca"),
    (r"(?:deep)?hermes-\d|nous-capybara", None),
    (r"dolphin-?2[.-][567](?:[.-]\d)?-mixtral|dolphin-mixtral", "dolphin-mixtral"),
    (r"dolphin-?[23][.-]\d|dolphin-(?:mistral|llama3)", "chatml-plain"),
    (r"dolphin", None),
    (r"zephyr-\d+b-gemma", "zephyr-gemma"),
    (r"(?:stablelm-(?:2-)?)?zephyr(?:-|$)", "zephyr"),
    (r"stablelm-2-(?:\S+-)?chat", "chatml-plain"),
    (r"openchat-?3[.-]5", "openchat-3.5"),
    (r"openchat|neural-chat|openbuddy", None),
    (r"starling-lm", "starling"),
    (r"vicuna.*-v0|stable-?vicuna|chinese-alpaca-2", None),
    (r"(?:wizard-)?vicuna|wizardlm-(?:13b-v1[.-][12]|30b|70b|2-)", "vicuna"),
    (r"wizardcoder|wizardmath|(?:\S+-)?(?:code)?alpaca", "alpaca"),
    (r"wizardlm", None),
    (r"solar-10[.-]7b-instruct", "solar-instruct"),
    (r"(?:\S+-)?tulu|\S*minitron|nemotron-mini", None),
    # DeepSeek.
    (r"deepseek-r1(?:-zero)?$", "deepseek-r1-distill"),
    (
        r"deepseek-(?:llm|moe|math)-~|deepseek-math-\S*-rl|deepseek-v2-(?:lite-)?chat|deepseek-coder-v2-~",
        "deepseek-chat",
    ),
    (r"deepseek-coder-~", "deepseek-coder-instruct"),
    (r"deepseek-(?:r1|v2[.-]5|v3|v4|vl|prover)", None),
    # Mistral AI. Newer tokenizers have other spaces, and later ones a system block of their own.
    (r"mistral-7b-instruct-v0[.-]1", "mistral-instruct-v0.1"),
    (r"mistral-7b-instruct-v0[.-]2", "mistral-instruct-v0.2"),
    (r"mistral-7b-instruct-v0[.-]3|mixtral-8x22b-~|mathstral", "mistral-instruct-v0.3"),
    (r"mistral-small-instruct-2409|mistral-large-instruct-2407", "mistral-instruct-v0.3"),
    (r"mixtral-8x7b-~", "mixtral-instruct"),
    (r"mistral-nemo-~|ministral-8b-instruct(?:-2410)?$", "mistral-nemo-instruct"),
    (r"(?:mamba-)?codestral(?:-22b|-7b|$)", "codestral"),
    (r"codestral|magistral|devstral|pixtral|(?:mistral-(?:small|medium|large)|ministral)-~", None),
    # Qwen.
    (r"qwq-32b$", "qwq-32b"),
    (r"qwq|qvq|codeqwen1[.-]5-~|qwen-?3-(?:\S+-)?thinking|qwen-?3-omni|qwen-?2-audio|qwen-?2[.-]5-omni", None),
    (r"qwen-?2[.-]5-math-~", None),
    (r"qwen-?3(?:-next|-coder|-vl)?-(?:SIZE(?:-aSIZE)?(?:-\d{4}|-1m|-128k)*$|~)", "qwen3"),
    (r"qwen-?2(?:[.-]5)?-vl-~|qwen-?2-(?:math-)?SIZE-~|qwen-SIZE-chat", "qwen2-instruct"),
    (r"qwen-?2[.-]5-~", "qwen2.5-instruct"),
    (r"qwen-?1[.-]5-~", "qwen1.5-chat"),
    # Google.
    (r"(?:gemma-?3n?|medgemma)-~", "gemma-3-it"),
    (r"gemma-?2-SIZE-~", "gemma-2-it"),
    (r"(?:code|recurrent)?gemma-(?:1[.-]1-)?[279]b-~", "gemma-it"),
    # Microsoft.
    (r"phi-?3[.-]5-(?:mini|moe)-~", "phi-3.5-mini-instruct"),
    (r"phi-?3-small-~", "phi-3-small-instruct"),
    (r"phi-?3-(?:mini|medium)(?:-|$)", "phi-3-mini-instruct"),
    (r"phi-?4$", "phi-4"),
    (r"phi-?4-(?:mini|reasoning|multimodal)|phi-?3(?:[.-]5)?-vision", None),
    # Meta.
    (r"code-?llama-70b-~", "codellama-70b-instruct"),
    (r"code-?llama-(?:7|13|34)b-~", "llama-2-chat"),
    (r"(?:meta-)?llama-?2-(?:\S+-)?chat", "llama-2-chat"),
    (r"(?:meta-)?llama-?3[.-]2-(?:1b|3b|11b|90b)-~", "llama-3.2-instruct"),
    (r"(?:meta-)?llama-?3[.-][13]-~", "llama-3.1-instruct"),
    (r"(?:meta-)?llama-?3-(?![123]-\d)~", "llama-3-instruct"),
    # Others.
    (r"tinyllama-1[.-]1b-chat-v1[.-]0", "tinyllama-chat"),
    (r"smollm2-~", "smollm2-instruct"),
    (r"smollm3-3b", None),
    (r"yi-1[.-]5-~", "yi-1.5-chat"),
    (r"yi-SIZE-~", "yi-chat"),
    (r"yi-(?:coder|vl)-~", None),
    (r"internlm-?(?:2|2[.-]5|3)-(?:chat-SIZE|SIZE-~)", "chatml-plain"),
    (r"falcon-(?:7b|40b)-~", "falcon-instruct"),
    (r"falcon-180b-~", "falcon-180b-chat"),
    (r"(?:c4ai-)?command-r(?:-plus)?(?:-v01|-\d\d-\d{4})?$|aya-(?:23|expanse)", "command-r"),
    (r"(?:c4ai-)?command-|aya-|(?:code|vis)?chatglm", None),
    (r"granite-?3[.-]0-~", "granite-3.0-instruct"),
    (r"granite-?3[.-][123]-~", "granite-3.3-instruct"),
    (r"olmo-?2-(?:~|\S+-(?:sft|dpo)(?:-|$))", "olmo-2-instruct"),
    (r"gpt-oss", "gpt-oss"),
)


def _compiled_names() -> tuple[tuple[re.Pattern[str], str | None], ...]:
    asked = r"(?:\S+-)?(?:instruct(?:ion)?|chat|it)(?:-|$)"
    return tuple(
        (re.compile(f"(?:^|-)(?:{pattern.replace('~', asked).replace('SIZE', _SIZE)})"), family)
        for pattern, family in _NAMES
    )


_NAME_RULES = _compiled_names()

# What tells the format of a chat model with an unknown name, the first that are all among its added tokens.
_BY_TOKENS: tuple[tuple[frozenset[str], str | None], ...] = (
    (frozenset({"<|im_start|>", "<|im_sep|>"}), "phi-4"),
    (frozenset({"<|im_start|>"}), "chatml-plain"),
    (frozenset({"<|start_header_id|>"}), "llama-3-instruct"),
    (frozenset({"[SYSTEM_PROMPT]"}), None),
    (frozenset({"[INST]"}), "mistral-instruct-v0.3"),
    (frozenset({"<start_of_turn>", "<start_of_image>"}), "gemma-3-it"),
    (frozenset({"<start_of_turn>"}), "gemma-2-it"),
    (frozenset({"<|start_of_role|>"}), "granite-3.0-instruct"),
    (frozenset({"<|START_RESPONSE|>"}), None),
    (frozenset({"<|START_OF_TURN_TOKEN|>"}), "command-r"),
    (frozenset({"<|end_of_turn|>"}), "openchat-3.5"),
    (frozenset({"<|channel|>", "<|message|>"}), "gpt-oss"),
    (frozenset({"<|tool_call|>", "<|end|>"}), None),
    (frozenset({"<|user|>", "<|assistant|>", "<|end|>"}), "phi-3.5-mini-instruct"),
    (frozenset({"<|EOT|>"}), "deepseek-coder-instruct"),
    (frozenset({"<｜User｜>"}), None),
)
# Architectures whose chat models all speak one format.
_BY_ARCHITECTURE = {
    "CohereForCausalLM": "command-r",
    "FalconForCausalLM": "falcon-instruct",
    "Gemma2ForCausalLM": "gemma-2-it",
    "Gemma3ForCausalLM": "gemma-3-it",
    "Gemma3ForConditionalGeneration": "gemma-3-it",
    "GemmaForCausalLM": "gemma-it",
    "GptOssForCausalLM": "gpt-oss",
    "MixtralForCausalLM": "mixtral-instruct",
    "Olmo2ForCausalLM": "olmo-2-instruct",
    "Phi3SmallForCausalLM": "phi-3-small-instruct",
    "PhiMoEForCausalLM": "phi-3.5-mini-instruct",
    "Qwen2ForCausalLM": "chatml-plain",
    "Qwen2MoeForCausalLM": "chatml-plain",
    "Qwen3ForCausalLM": "qwen3",
    "Qwen3MoeForCausalLM": "qwen3",
}


def infer_is_instruct(model_id: str) -> bool | None:
    """Return whether the name is a chat model's: True, False for a known base model, None where it does not tell."""
    name = _plain_name(model_id)
    if _BASE_WORDS.search(name):
        return False
    if _JUDGES.search(name):
        return None
    if _named(name) or _CHAT_WORDS.search(name):
        return True
    return False if _BARE_BASE.fullmatch(name) else None


def infer_template(
    model_id: str,
    *,
    architecture: str | None = None,
    special_tokens: Collection[str] = (),
    is_instruct: bool | None = None,
) -> PromptTemplate | None:
    """Return the template of a chat model by its name, else by its added tokens, else by its architecture.

    None for a base model, and where a known model speaks a format that no template here has. The tokens and the
    architecture count only for chat models, since base models have the same: `is_instruct` says so where the name
    does not tell.
    """
    name = _plain_name(model_id)
    by_name = infer_is_instruct(model_id)
    if by_name and (named := _named(name)):
        return TEMPLATES[named.family] if named.family else None
    if not (by_name if is_instruct is None else is_instruct):
        return None
    family = _family_by_tokens(special_tokens, _BY_ARCHITECTURE.get(architecture or ""))
    return TEMPLATES[family] if family else None


@dataclass(frozen=True)
class _Named:
    """A known chat model: its family, None where no template fits."""

    family: str | None


def _named(name: str) -> _Named | None:
    return next((_Named(family) for pattern, family in _NAME_RULES if pattern.search(name)), None)


def _family_by_tokens(special_tokens: Collection[str], otherwise: str | None) -> str | None:
    return next((family for needed, family in _BY_TOKENS if needed.issubset(special_tokens)), otherwise)
