"""Which template is chosen, and what a prompt becomes in tokens, with the demo model's real tokenizer."""

import copy
from typing import Any

import pytest

from utils.errors import InvalidChatTemplate, InvalidMessages, InvalidPrompt, InvalidPromptTemplate
from utils.prompts import ModelTraits, Prompts, Tokenizer
from utils.request import GenerationRequest

PLAIN_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
NO_SYSTEM = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must take turns, user first') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
)
SYSTEM = "Speak briefly."


def prompts(tokenizer: Tokenizer, **given: Any) -> Prompts:
    traits = {"model_id": "me/m", "architecture": None, "is_instruct": None, "prompt_template": None}
    system_prompt = given.pop("system_prompt", None)
    own = given.pop("own_template", tokenizer.chat_template)
    changed = copy.copy(tokenizer)
    changed.chat_template = own
    return Prompts(ModelTraits(**{**traits, **given}), changed, max_model_len=100, system_prompt=system_prompt)


def rendered(chosen: Prompts, **inputs: Any) -> str:
    return chosen.render(GenerationRequest.from_inputs(inputs)).text


# --- the choice


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ({}, "the tokenizer's own"),
        ({"own_template": {"default": PLAIN_CHATML, "tool_use": "x"}}, "the tokenizer's own"),
        ({"prompt_template": "llama-3-instruct"}, "llama-3-instruct of prompt_templates.py, named in the config"),
        ({"prompt_template": NO_SYSTEM}, "the config's Jinja"),
        ({"prompt_template": "Q: {prompt}"}, "the config's literal text"),
        (
            {"own_template": None, "model_id": "x/Mistral-7B-Instruct-v0.2"},
            "mistral-instruct-v0.2 of prompt_templates.py, inferred",
        ),
        ({"own_template": None, "model_id": "acme/thing-chat"}, "chatml-plain of prompt_templates.py, inferred"),
        ({"model_id": "Qwen/Qwen2.5-7B"}, "none: a base model by its name"),
        ({"model_id": "Qwen/Qwen2.5-7B", "is_instruct": True}, "the tokenizer's own"),
        ({"is_instruct": False}, "none: a base model"),
        ({"own_template": None}, "none: nothing says that this is an instruct model"),
    ],
)
def test_the_template_is_chosen_in_order(demo_tokenizer: Tokenizer, given: dict[str, Any], origin: str) -> None:
    assert prompts(demo_tokenizer, **given).choice.origin == origin


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"own_template": None, "is_instruct": True, "model_id": "gpt2"}, "set prompt_template"),
        ({"prompt_template": "llama-3-instrct"}, "did you mean llama-3-instruct"),
        ({"prompt_template": "{% for %}"}, "the config's Jinja"),
        ({"own_template": "{{ messages"}, "the tokenizer's own"),
        ({"own_template": "{{ foo.bar.baz }}"}, "the tokenizer's own cannot render a user's message"),
        ({"prompt_template": "constant {{ 'text' }}"}, "drops what the user says"),
    ],
)
def test_an_unusable_template_says_where_it_is_from(
    demo_tokenizer: Tokenizer, given: dict[str, Any], message: str
) -> None:
    bare = copy.copy(demo_tokenizer)
    if given.get("is_instruct"):
        bare.get_added_vocab = dict  # type: ignore[method-assign]
    with pytest.raises(InvalidChatTemplate, match=message):
        prompts(bare, **given)


# --- BOS


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ({}, {"prompt": "Hello!"}),
        ({"own_template": PLAIN_CHATML}, {"prompt": "Hello!"}),
        ({"is_instruct": False}, {"prompt": "Hello!"}),
        ({"is_instruct": False}, {"prompt": "<s>Hello!"}),
        ({}, {"prompt": "Hello!", "prompt_template": "{prompt}"}),
        ({}, {"prompt": "Hello!", "prompt_template": "<s>{prompt}"}),
        ({}, {"prompt": "Hello!", "prompt_template": "llama-2-chat"}),
    ],
)
def test_there_is_one_bos_and_never_two(
    demo_tokenizer: Tokenizer, given: dict[str, Any], inputs: dict[str, Any]
) -> None:
    token_ids = prompts(demo_tokenizer, **given).render(GenerationRequest.from_inputs(inputs)).token_ids

    assert token_ids[0] == demo_tokenizer.bos_token_id
    assert token_ids[1] != demo_tokenizer.bos_token_id


def test_a_tokenizer_that_puts_no_bos_gets_none(demo_tokenizer: Any) -> None:
    class WithoutBos:
        chat_template, bos_token, eos_token = PLAIN_CHATML, None, "<|im_end|>"
        bos_token_id = None

        def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
            return demo_tokenizer.encode(text, add_special_tokens=False)

        def get_added_vocab(self) -> dict[str, int]:
            return demo_tokenizer.get_added_vocab()

    token_ids = prompts(WithoutBos()).render(GenerationRequest.from_inputs({"prompt": "Hello!"})).token_ids

    assert demo_tokenizer.bos_token_id not in token_ids


# --- the system prompt


@pytest.mark.parametrize(
    ("configured", "inputs", "expected"),
    [
        (None, {}, "You are a helpful assistant."),
        ("", {}, None),
        (SYSTEM, {}, SYSTEM),
        (SYSTEM, {"system_prompt": ""}, None),
        (None, {"system_prompt": SYSTEM}, SYSTEM),
    ],
)
def test_the_system_prompt_is_the_requests_else_the_configs(
    demo_tokenizer: Tokenizer, configured: str | None, inputs: dict[str, Any], expected: str | None
) -> None:
    text = rendered(prompts(demo_tokenizer, system_prompt=configured), prompt="Hi", **inputs)

    assert text.count("<|im_start|>system") == (1 if expected else 0)
    assert f"<|im_start|>system\n{expected}<|im_end|>" in text or not expected


def test_a_system_message_is_not_doubled(demo_tokenizer: Tokenizer) -> None:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Hi"}]
    chosen = prompts(demo_tokenizer)

    assert rendered(chosen, messages=messages).count("<|im_start|>system") == 1
    with pytest.raises(InvalidMessages, match="one of them"):
        rendered(chosen, messages=messages, system_prompt="Another.")


def test_without_a_system_role_it_is_merged_into_the_first_user_turn(demo_tokenizer: Tokenizer) -> None:
    chosen = prompts(demo_tokenizer, prompt_template=NO_SYSTEM)

    assert rendered(chosen, prompt="Hi", system_prompt=SYSTEM) == f"<s><|im_start|>user\n{SYSTEM}\n\nHi<|im_end|>\n"
    assert rendered(chosen, prompt="Hi", system_prompt="") == "<s><|im_start|>user\nHi<|im_end|>\n"


PARTS = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}{{ '\\n' }}{% endfor %}"
)


def test_a_template_that_wants_parts_gets_them(demo_tokenizer: Tokenizer) -> None:
    chosen = prompts(demo_tokenizer, own_template=PARTS)

    assert rendered(chosen, prompt="Hi", system_prompt=SYSTEM) == f"system: {SYSTEM}\nuser: Hi\n"


def test_a_refused_role_order_carries_the_templates_reason(demo_tokenizer: Tokenizer) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]

    with pytest.raises(Exception, match=r"E1007: .*Roles must take turns, user first"):
        rendered(prompts(demo_tokenizer, prompt_template=NO_SYSTEM), messages=messages)


# --- literal templates


@pytest.mark.parametrize(
    ("template", "inputs", "expected"),
    [
        ("[{prompt}]", {}, "[Hi]"),
        ("[{prompt}]", {"system_prompt": SYSTEM}, f"[{SYSTEM}\n\nHi]"),
        ("{system_prompt}|{prompt}", {}, "You are a helpful assistant.|Hi"),
        ("{system_prompt}|{prompt}", {"system_prompt": "{prompt}"}, "{prompt}|Hi"),
        ('{"json": 1} {0} {prompt.__class__} {prompt}', {}, '{"json": 1} {0} {prompt.__class__} Hi'),
        ("{{prompt}} {prompt}", {}, "{{prompt}} Hi"),
        ("{% raw %}{prompt}", {}, "{% raw %}Hi"),
    ],
)
def test_a_requests_template_is_text_with_two_places(
    demo_tokenizer: Tokenizer, template: str, inputs: dict[str, Any], expected: str
) -> None:
    assert rendered(prompts(demo_tokenizer), prompt="Hi", prompt_template=template, **inputs) == expected


def test_a_prompt_is_not_searched_for_places(demo_tokenizer: Tokenizer) -> None:
    text = rendered(prompts(demo_tokenizer), prompt="{system_prompt}{prompt}", prompt_template="<{prompt}>")

    assert text == "<{system_prompt}{prompt}>"


@pytest.mark.parametrize("template", ["no place", "{{ prompt }}", "{system_prompt}", "gemma-itt"])
def test_a_requests_template_without_a_place_is_refused(demo_tokenizer: Tokenizer, template: str) -> None:
    with pytest.raises(InvalidPromptTemplate, match=r"has no \{prompt\}"):
        rendered(prompts(demo_tokenizer), prompt="Hi", prompt_template=template)


@pytest.mark.parametrize(
    ("given", "inputs", "error"),
    [
        ({"is_instruct": False}, {"messages": [{"role": "user", "content": "a"}]}, InvalidMessages),
        ({"is_instruct": False}, {"prompt": "a", "system_prompt": "b"}, InvalidPrompt),
        ({}, {"messages": [{"role": "user", "content": "a"}], "prompt_template": "{prompt}"}, InvalidMessages),
    ],
)
def test_what_the_template_cannot_take_is_refused(
    demo_tokenizer: Tokenizer, given: dict[str, Any], inputs: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        rendered(prompts(demo_tokenizer, **given), **inputs)


# --- the end of a turn


@pytest.mark.parametrize(
    ("given", "inputs", "stops", "texts"),
    [
        ({}, {}, {3}, ()),
        ({"own_template": PLAIN_CHATML}, {}, {3}, ()),
        ({"prompt_template": "chatml-plain"}, {}, {3}, ()),
        ({}, {"prompt_template": "{prompt}"}, {3}, ()),
        ({}, {"prompt_template": "llama-3-instruct"}, {3}, ("<|eot_id|>", "<|end_of_text|>")),
        ({"is_instruct": False}, {}, set(), ()),
    ],
)
def test_what_closes_a_turn_ends_the_answer(
    demo_tokenizer: Tokenizer, given: dict[str, Any], inputs: dict[str, Any], stops: set[int], texts: tuple[str, ...]
) -> None:
    prompt = prompts(demo_tokenizer, **given).render(GenerationRequest.from_inputs({"prompt": "Hi", **inputs}))

    assert set(prompt.stop_token_ids) == stops
    assert prompt.stop == texts
