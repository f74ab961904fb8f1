"""What one caller asks for: a prompt and how to sample the answer, checked once and then frozen."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from utils.errors import InvalidInput, InvalidMessages, InvalidPrompt, InvalidSamplingParams, nearest
from utils.masking import shown

ROLES = ("system", "user", "assistant")

DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."
"""What an instruct model is told where neither config nor request says otherwise."""

LARGEST_EXACT_INTEGER = 2**53 - 1
"""The largest integer that every JSON parser keeps exactly (RFC 8259, section 6)."""

_OPENAI_API = "use the OpenAI API, which returns them"

_LOGPROBS = (
    "logprobs",
    "prompt_logprobs",
    "logprob_token_ids",
    "flat_logprobs",
    "prompt_logprob_token_ids",
    "prompt_logprob_start",
)
_INTERNAL = (
    "output_kind",
    "skip_clone",
    "output_text_buffer_length",
    "detokenize",
    "routed_experts_prompt_start",
    "trace_decode_token_ids",
)

REFUSED_SAMPLING_PARAMS: Mapping[str, str] = MappingProxyType(
    {
        **{
            name: f"give it as the input {name}"
            for name in (
                "max_tokens",
                "min_tokens",
                "temperature",
                "top_p",
                "top_k",
                "presence_penalty",
                "frequency_penalty",
                "seed",
            )
        },
        "stop": "give it as the input stop_sequences",
        **dict.fromkeys(_LOGPROBS, _OPENAI_API),
        **dict.fromkeys(_INTERNAL, "it is internal to the engine; leave it out"),
    }
)
"""Fields of vLLM's SamplingParams that `sampling_params` does not take, and what to do instead."""


def _integral(value: object) -> object:
    """Take 5.0 as 5, as JSON does not tell them apart, and keep True from passing as 1."""
    if isinstance(value, bool):
        raise ValueError("should be a whole number, not a boolean")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _numeric(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("should be a number, not a boolean")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("should be a finite number")
    return value


def encodable(value: object) -> object:
    """Refuse, as a validator, text that UTF-8 cannot hold; other types are left to other checks."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(f"holds half of a surrogate pair at character {exc.start}") from exc
    return value


Integer = Annotated[int, BeforeValidator(_integral)]
Number = Annotated[float, BeforeValidator(_numeric)]
Text = Annotated[str, BeforeValidator(encodable)]


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    role: Literal["system", "user", "assistant"]
    content: Text


class GenerationRequest(BaseModel):
    """A prompt or a conversation, and the sampling parameters of the answer.

    The defaults are those of Replicate's language models; predict.py repeats them as
    literals, because Cog reads its inputs without running it, and a test holds the two together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: Text | None = None
    system_prompt: Text | None = None
    messages: tuple[Message, ...] | None = None
    prompt_template: Text | None = None
    max_tokens: Integer = Field(512, ge=1)
    min_tokens: Integer = Field(0, ge=0)
    temperature: Number = Field(0.6, ge=0, le=2)
    top_p: Number = Field(0.9, ge=0, le=1)
    top_k: Integer = Field(50, ge=-1, le=2**31 - 1)
    presence_penalty: Number = Field(0.0, ge=-2, le=2)
    frequency_penalty: Number = Field(0.0, ge=-2, le=2)
    stop: tuple[Text, ...] = ()
    seed: Integer | None = Field(None, ge=0, le=LARGEST_EXACT_INTEGER)
    sampling_params: Mapping[str, Any] = Field(default_factory=dict)

    @classmethod
    def from_inputs(cls, inputs: Mapping[str, Any]) -> "GenerationRequest":
        """Check the inputs of one prediction; an input that is None counts as absent.

        Raises:
            InputError: the subclass that fits the input at fault.
        """
        given = {name: value for name, value in inputs.items() if value is not None}
        _refuse_unknown_inputs(given)
        _check_exactly_one_prompt(given)
        if "messages" in given:
            given["messages"] = parse_messages(given["messages"])
        if "stop_sequences" in given:
            given["stop"] = split_stop_sequences(given.pop("stop_sequences"))
        given["sampling_params"] = _checked_sampling_params(given.get("sampling_params", {}))
        try:
            request = cls(**given)
        except ValidationError as exc:
            raise InvalidInput(_explain(exc)) from exc
        _check_tokens(request)
        return request

    @property
    def ignores_end_of_turn(self) -> bool:
        """Whether the caller asked for an answer that end-of-sequence tokens do not stop."""
        return self.sampling_params.get("ignore_eos") is True


def input_names() -> tuple[str, ...]:
    """Return the names of a prediction's inputs: the fields, with `stop` under its name stop_sequences."""
    return tuple("stop_sequences" if name == "stop" else name for name in GenerationRequest.model_fields)


def _refuse_unknown_inputs(given: Mapping[str, Any]) -> None:
    for name in given:
        if name not in input_names():
            raise InvalidInput(f"the input {shown(name)} is unknown: {nearest(str(name), input_names())}")


def _check_exactly_one_prompt(given: dict[str, Any]) -> None:
    """Forms send an empty prompt beside messages, so that one counts as absent."""
    if given.get("messages") is not None and given.get("prompt") == "":
        del given["prompt"]
    if "prompt" in given and "messages" in given:
        raise InvalidPrompt("prompt and messages are both given: give one of them")
    if "prompt" not in given and "messages" not in given:
        raise InvalidPrompt("neither prompt nor messages is given: give one of them")
    if given.get("prompt") == "":
        raise InvalidPrompt("prompt is empty: give at least one character")


def parse_messages(messages: object) -> tuple[Message, ...]:
    """Check a list of `{"role": …, "content": …}` objects.

    Raises:
        InvalidPrompt: the list is empty.
        InvalidMessages: anything else about it is wrong; the message names the item.
    """
    if not isinstance(messages, (list, tuple)):
        raise InvalidMessages(f"messages is a {type(messages).__name__}: give a list of role/content objects")
    if not messages:
        raise InvalidPrompt("messages is empty: give at least one message with the role user")
    parsed = tuple(_parse_message(index, message) for index, message in enumerate(messages))
    if all(message.role == "system" for message in parsed):
        raise InvalidMessages("messages holds only system messages: add one with the role user")
    return parsed


def _parse_message(index: int, message: object) -> Message:
    where = f"messages[{index}]"
    if isinstance(message, Message):
        return message
    if not isinstance(message, Mapping):
        raise InvalidMessages(f"{where} is a {type(message).__name__}: give an object with role and content")
    unknown = sorted(set(map(str, message)) - {"role", "content"})
    if unknown:
        raise InvalidMessages(f"{where} has the unknown key {unknown[0]!r}: only role and content are taken")
    role = message.get("role")
    if role not in ROLES:
        raise InvalidMessages(f"{where}.role is {shown(role)}: give one of {', '.join(ROLES)}")
    try:
        return Message(role=role, content=_joined_text(message.get("content")))
    except ValidationError as exc:
        raise InvalidMessages(f"{where}.{_explain(exc)}") from exc


def _joined_text(content: Any) -> Any:
    """Take OpenAI's list of text parts as one text; other kinds of part fail the type check that follows."""
    if isinstance(content, list) and content and all(_is_text_part(part) for part in content):
        return "".join(part["text"] for part in content)
    return content


def _is_text_part(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def split_stop_sequences(text: object) -> tuple[str, ...]:
    r"""Split at commas; `\,` is a comma and `\\` a backslash inside a sequence, spaces are kept.

    Raises:
        InvalidInput: not a string, or nothing but commas.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"stop_sequences is a {type(text).__name__}: give one string, sequences parted by commas")
    if not text:
        return ()
    sequences, current = [], ""
    characters = iter(text)
    for character in characters:
        if character == ",":
            sequences.append(current)
            current = ""
        elif character == "\\":
            current += _unescaped(next(characters, ""))
        else:
            current += character
    sequences = [sequence for sequence in (*sequences, current) if sequence]
    if not sequences:
        raise InvalidInput(r"stop_sequences holds only commas: write a comma inside a sequence as \,")
    return tuple(sequences)


def _unescaped(character: str) -> str:
    return character if character in {",", "\\"} else "\\" + character


def _checked_sampling_params(params: object) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        raise InvalidSamplingParams(f"sampling_params is a {type(params).__name__}: give an object of field and value")
    for name, value in params.items():
        _check_sampling_param(str(name), value)
    return {str(name): value for name, value in params.items() if name != "n"}


def _check_sampling_param(name: str, value: object) -> None:
    """Names and types that only vLLM knows are checked by the engine."""
    if name in REFUSED_SAMPLING_PARAMS:
        raise InvalidSamplingParams(f"sampling_params.{name} is not taken here: {REFUSED_SAMPLING_PARAMS[name]}")
    if name.startswith("_"):
        raise InvalidSamplingParams(
            f"the field {shown(name)} of sampling_params is internal to the engine: leave it out"
        )
    if name == "n" and (isinstance(value, bool) or value not in (None, 1)):
        raise InvalidSamplingParams(
            f"sampling_params.n is {shown(value)}: a prediction gives one answer; for several {_OPENAI_API}"
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidSamplingParams(f"sampling_params.{name} is {value}: give a finite number")


def _check_tokens(request: GenerationRequest) -> None:
    if request.min_tokens > request.max_tokens:
        raise InvalidInput(
            f"min_tokens is {shown(request.min_tokens)} and max_tokens {shown(request.max_tokens)}: "
            "min_tokens may not be larger"
        )


def _explain(error: ValidationError) -> str:
    """Name the first input at fault, its value and the accepted form."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    reason = first["msg"].removeprefix("Value error, ").replace("Input should", "should")
    return f"{where} is {shown(first['input'])}: {reason}"
