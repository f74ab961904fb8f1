"""The inputs of one prediction: what is taken, what is refused, and in which words."""

from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.errors import InputError, InvalidInput, InvalidMessages, InvalidPrompt, InvalidSamplingParams
from utils.request import (
    LARGEST_EXACT_INTEGER,
    REFUSED_SAMPLING_PARAMS,
    GenerationRequest,
    Message,
    input_names,
    parse_messages,
    split_stop_sequences,
)

NAN, INF = float("nan"), float("inf")
HI = {"role": "user", "content": "hi"}


def request(**inputs: Any) -> GenerationRequest:
    return GenerationRequest.from_inputs({"prompt": "hi", **inputs})


@pytest.mark.parametrize(
    ("name", "given_value", "kept"),
    [
        ("max_tokens", 1, 1),
        ("max_tokens", 5.0, 5),
        ("max_tokens", 10**30, 10**30),
        ("min_tokens", 0, 0),
        ("temperature", 0, 0.0),
        ("temperature", 2, 2.0),
        ("top_p", 0, 0.0),
        ("top_p", 1, 1.0),
        ("top_k", -1, -1),
        ("top_k", 0, 0),
        ("top_k", 40.0, 40),
        ("presence_penalty", -2, -2.0),
        ("presence_penalty", 2, 2.0),
        ("frequency_penalty", -2, -2.0),
        ("frequency_penalty", 2, 2.0),
        ("seed", 0, 0),
        ("seed", 7.0, 7),
        ("seed", LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER),
        ("system_prompt", "", ""),
        ("system_prompt", "a\0b", "a\0b"),
        ("prompt", "a\0b", "a\0b"),
        ("prompt", " ", " "),
        ("prompt", "é\N{GRINNING FACE}\ufffd\ufeff", "é\N{GRINNING FACE}\ufffd\ufeff"),
        pytest.param("prompt", "x" * 1_000_000, "x" * 1_000_000, id="prompt of a megabyte"),
        ("prompt_template", "", ""),
        ("prompt_template", "{prompt}", "{prompt}"),
        ("sampling_params", {"min_p": 0.1, "n": 1}, {"min_p": 0.1}),
        ("sampling_params", {"n": 1.0}, {}),
        ("sampling_params", {"logit_bias": {"1": 2.0}}, {"logit_bias": {"1": 2.0}}),
    ],
)
def test_input_is_kept(name: str, given_value: object, kept: object) -> None:
    value = getattr(request(**{name: given_value}), name)
    assert value == kept
    assert type(value) is type(kept)


WHOLE = "should be a whole number, not a boolean"
NUMBER = "should be a number, not a boolean"
FINITE = "should be a finite number"
INTEGER = "should be a valid integer"
FLOAT = "should be a valid number"
STRING = "should be a valid string"
HALF = "holds half of a surrogate pair at character"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_tokens", 0, "max_tokens is 0: should be greater than or equal to 1"),
        ("max_tokens", -1, "max_tokens is -1: should be greater than or equal to 1"),
        ("max_tokens", 5.5, f"max_tokens is 5.5: {INTEGER}"),
        ("max_tokens", "5", f"max_tokens is '5': {INTEGER}"),
        ("max_tokens", True, f"max_tokens is True: {WHOLE}"),
        ("max_tokens", NAN, f"max_tokens is nan: {INTEGER}"),
        ("max_tokens", INF, f"max_tokens is inf: {INTEGER}"),
        ("max_tokens", [5], f"max_tokens is [5]: {INTEGER}"),
        ("min_tokens", -1, "min_tokens is -1: should be greater than or equal to 0"),
        ("min_tokens", False, f"min_tokens is False: {WHOLE}"),
        ("min_tokens", 513, "min_tokens is 513 and max_tokens 512: min_tokens may not be larger"),
        pytest.param("min_tokens", 10**5000, "min_tokens is a number of thousands of digits and", id="huge min_tokens"),
        ("temperature", -0.1, "temperature is -0.1: should be greater than or equal to 0"),
        ("temperature", 2.1, "temperature is 2.1: should be less than or equal to 2"),
        ("temperature", NAN, f"temperature is nan: {FINITE}"),
        ("temperature", INF, f"temperature is inf: {FINITE}"),
        ("temperature", "0.5", f"temperature is '0.5': {FLOAT}"),
        ("temperature", True, f"temperature is True: {NUMBER}"),
        pytest.param("temperature", 10**400, f"...: {FLOAT}", id="huge temperature"),
        ("top_p", -0.1, "top_p is -0.1: should be greater than or equal to 0"),
        ("top_p", 1.1, "top_p is 1.1: should be less than or equal to 1"),
        ("top_p", NAN, f"top_p is nan: {FINITE}"),
        ("top_k", -2, "top_k is -2: should be greater than or equal to -1"),
        ("top_k", 1.5, f"top_k is 1.5: {INTEGER}"),
        ("presence_penalty", -2.1, "presence_penalty is -2.1: should be greater than or equal to -2"),
        ("presence_penalty", 2.1, "presence_penalty is 2.1: should be less than or equal to 2"),
        ("presence_penalty", -INF, f"presence_penalty is -inf: {FINITE}"),
        ("frequency_penalty", -2.1, "frequency_penalty is -2.1: should be greater than or equal to -2"),
        ("frequency_penalty", 2.1, "frequency_penalty is 2.1: should be less than or equal to 2"),
        ("frequency_penalty", True, f"frequency_penalty is True: {NUMBER}"),
        ("seed", -1, "seed is -1: should be greater than or equal to 0"),
        ("seed", 2**53, f"seed is {2**53}: should be less than or equal to {2**53 - 1}"),
        pytest.param("seed", 10**5000, "seed is a number of thousands of digits: should be less", id="huge seed"),
        ("seed", True, f"seed is True: {WHOLE}"),
        ("seed", "0", f"seed is '0': {INTEGER}"),
        ("prompt", 5, f"prompt is 5: {STRING}"),
        ("prompt", ["hi"], f"prompt is ['hi']: {STRING}"),
        ("prompt", b"hi", f"prompt is b'hi': {STRING}"),
        ("prompt", "ab\ud800", rf"prompt is 'ab\ud800': {HALF} 2"),
        ("system_prompt", "\udfff", rf"system_prompt is '\udfff': {HALF} 0"),
        ("system_prompt", 1, f"system_prompt is 1: {STRING}"),
        ("prompt_template", "\ud800", rf"prompt_template is '\ud800': {HALF} 0"),
        ("prompt_template", {}, f"prompt_template is {{}}: {STRING}"),
        ("stop_sequences", ["a"], "stop_sequences is a list: give one string, sequences parted by commas"),
        ("stop_sequences", 1, "stop_sequences is a int: give one string"),
        ("stop_sequences", ",,", r"stop_sequences holds only commas: write a comma inside a sequence as \,"),
        ("stop_sequences", "a,\ud800", rf"stop.1 is '\ud800': {HALF} 0"),
        ("promt", "hi", "the input 'promt' is unknown: did you mean prompt?"),
        ("stop", ("a",), "the input 'stop' is unknown: did you mean stop_sequences?"),
        ("\ud800", 1, r"the input '\ud800' is unknown"),
    ],
)
def test_bad_input_is_named_with_its_value_and_the_accepted_form(name: str, value: object, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        request(**{name: value})
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "neither prompt nor messages is given"),
        ({"prompt": None, "messages": None}, "neither prompt nor messages is given"),
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": "hi", "messages": [HI]}, "prompt and messages are both given"),
        ({"messages": []}, "messages is empty"),
        ({"prompt": "", "messages": []}, "messages is empty"),
    ],
)
def test_exactly_one_of_prompt_and_messages_is_wanted(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPrompt, match=message):
        GenerationRequest.from_inputs(inputs)


def test_empty_prompt_beside_messages_counts_as_absent() -> None:
    parsed = GenerationRequest.from_inputs({"prompt": "", "messages": [HI]})
    assert parsed.prompt is None
    assert parsed.messages == (Message(role="user", content="hi"),)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ("hi", "messages is a str: give a list of role/content objects"),
        (HI, "messages is a dict: give a list"),
        (5, "messages is a int: give a list"),
        (["hi"], "messages[0] is a str: give an object with role and content"),
        ([HI, None], "messages[1] is a NoneType: give an object"),
        ([[HI]], "messages[0] is a list: give an object"),
        ([{}], "messages[0].role is None: give one of system, user, assistant"),
        ([{"content": "hi"}], "messages[0].role is None"),
        ([{"role": "User", "content": "hi"}], "messages[0].role is 'User': give one of"),
        ([{"role": "tool", "content": "hi"}], "messages[0].role is 'tool': give one of"),
        ([{"role": ["user"], "content": "hi"}], "messages[0].role is ['user']: give one of"),
        ([{"role": "user"}], f"messages[0].content is None: {STRING}"),
        ([HI, {"role": "assistant", "content": 5}], f"messages[1].content is 5: {STRING}"),
        ([{"role": "user", "content": []}], f"messages[0].content is []: {STRING}"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "messages[0].content is [{'type': 'im"),
        ([{"role": "user", "content": [{"type": "text", "text": 5}]}], "messages[0].content is [{'type'"),
        ([{"role": "user", "content": "\ud800"}], rf"messages[0].content is '\ud800': {HALF} 0"),
        ([{"role": "user", "content": "hi", "name": "x"}], "messages[0] has the unknown key 'name'"),
        ([{"role": "user", "content": "hi", 5: "x"}], "messages[0] has the unknown key '5'"),
        ([{"role": "system", "content": "hi"}], "messages holds only system messages: add one with the role user"),
    ],
)
def test_message_at_fault_is_named(messages: object, message: str) -> None:
    with pytest.raises(InvalidMessages) as caught:
        GenerationRequest.from_inputs({"messages": messages})
    assert message in str(caught.value)


def test_text_parts_are_joined_and_empty_content_is_kept() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    parsed = parse_messages([{"role": "user", "content": parts}, {"role": "assistant", "content": ""}])
    assert parsed == (Message(role="user", content="ab"), Message(role="assistant", content=""))
    assert parse_messages(parsed) == parsed


@pytest.mark.parametrize(
    ("text", "sequences"),
    [
        ("", ()),
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        ("a, b ", ("a", " b ")),
        ("a,,b,", ("a", "b")),
        (r"a\,b", ("a,b",)),
        (r"a\\,b", ("a\\", "b")),
        (r"\n", (r"\n",)),
        ("\n", ("\n",)),
        ("a\\", ("a\\",)),
        ("</s>,<|im_end|>", ("</s>", "<|im_end|>")),
        ("é,\0", ("é", "\0")),
    ],
)
def test_stop_sequences_are_parted_by_commas(text: str, sequences: tuple[str, ...]) -> None:
    assert split_stop_sequences(text) == sequences
    assert request(stop_sequences=text).stop == sequences


def escaped(sequence: str) -> str:
    return sequence.replace("\\", "\\\\").replace(",", "\\,")


@given(st.lists(st.text(alphabet=st.sampled_from("\\,ab ") | st.characters(), min_size=1)))
def test_any_sequences_survive_escaping_and_splitting(sequences: list[str]) -> None:
    assert split_stop_sequences(",".join(map(escaped, sequences))) == tuple(sequences)


@pytest.mark.parametrize("name", sorted(REFUSED_SAMPLING_PARAMS))
def test_refused_sampling_param_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(InvalidSamplingParams) as caught:
        request(sampling_params={name: 1})
    assert f"sampling_params.{name} is not taken here: {REFUSED_SAMPLING_PARAMS[name]}" in str(caught.value)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "sampling_params is a list: give an object of field and value"),
        ("{}", "sampling_params is a str: give an object"),
        ({"_secret": 1}, "the field '_secret' of sampling_params is internal to the engine: leave it out"),
        ({"_\ud800": 1}, r"the field '_\ud800' of sampling_params is internal"),
        ({"n": 2}, "sampling_params.n is 2: a prediction gives one answer"),
        ({"n": True}, "sampling_params.n is True: a prediction gives one answer"),
        ({"min_p": NAN}, "sampling_params.min_p is nan: give a finite number"),
        ({"repetition_penalty": INF}, "sampling_params.repetition_penalty is inf: give a finite number"),
    ],
)
def test_bad_sampling_params_are_named(params: object, message: str) -> None:
    with pytest.raises(InvalidSamplingParams) as caught:
        request(sampling_params=params)
    assert message in str(caught.value)


def test_every_refusal_that_names_an_input_names_one_that_exists() -> None:
    named = [reason.rpartition(" ")[2] for reason in REFUSED_SAMPLING_PARAMS.values() if "the input" in reason]
    assert set(named) <= set(input_names())


@given(
    st.dictionaries(
        st.sampled_from(input_names()),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        ),
    )
)
def test_any_json_is_taken_or_refused_with_an_error_of_ours(inputs: dict[str, Any]) -> None:
    try:
        parsed = GenerationRequest.from_inputs(inputs)
    except InputError as error:
        str(error).encode()
    else:
        assert (parsed.prompt is None) != (parsed.messages is None)


def test_request_is_frozen_and_keeps_nothing_of_the_callers() -> None:
    params: dict[str, Any] = {"min_p": 0.1}
    parsed = request(sampling_params=params)
    params["min_p"] = 0.9
    assert parsed.sampling_params == {"min_p": 0.1}
    with pytest.raises(pydantic.ValidationError):
        parsed.prompt = "other"  # type: ignore[misc]


@pytest.mark.parametrize(("value", "ignores"), [(True, True), (False, False), (1, False), (None, False)])
def test_ignore_eos_is_read_from_the_sampling_params(value: object, ignores: bool) -> None:
    assert request(sampling_params={"ignore_eos": value}).ignores_end_of_turn is ignores
