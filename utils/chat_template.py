"""A chat template: Jinja text that turns messages into the prompt a model was trained on.

The format is Hugging Face's (`tokenizer_config.json`, "chat_template"); `utils/jinja_sandbox.py` runs it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from itertools import takewhile
from types import CodeType
from typing import Any

from jinja2 import Template
from jinja2.exceptions import TemplateError, TemplateSyntaxError

from utils.errors import InvalidChatTemplate, TemplateRefused
from utils.jinja_sandbox import WORK_LIMIT, JinjaSandbox, Overspent, Refusal

Message = Mapping[str, Any]

MAX_CHARS = 8_000_000
MAX_SOURCE_CHARS = 1_000_000

# Texts that no template writes by itself and that none changes by trimming.
_SYSTEM_PROBE = "Speak like the keeper of a lighthouse."
_USER_PROBE = "How tall is the third heron?"
_ANSWER_PROBE = "The third heron is as tall as a fence."


class ChatTemplate:
    """A compiled chat template and the special tokens it writes; safe to use from several threads at once."""

    def __init__(
        self,
        source: str,
        *,
        bos_token: str | None = None,
        eos_token: str | None = None,
        origin: str = "prompt_template",
        max_chars: int = MAX_CHARS,
    ) -> None:
        """Compile the Jinja text; `origin` says in errors where it came from, `max_chars` bounds a prompt.

        Raises:
            InvalidChatTemplate: the text is not a Jinja template, or longer than a million characters.
        """
        self.source = source
        self.origin = origin
        # Where the tokenizer has no such token its name is left undefined, as Hugging Face does.
        self._tokens = {
            name: token for name, token in {"bos_token": bos_token, "eos_token": eos_token}.items() if token is not None
        }
        self._max_chars = max_chars
        self._code = _compile(source, origin)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        now: datetime | None = None,
        **variables: Any,
    ) -> str:
        """Render the messages as they are; `now` is the clock of `strftime_now`, `variables` go to the template.

        Raises:
            TemplateRefused: the template raised, with its own reason, or failed on these messages.
        """
        sandbox = JinjaSandbox(work_limit=max(WORK_LIMIT, 8 * self._max_chars), now=now)
        template = Template.from_code(sandbox, self._code, sandbox.globals)
        context: dict[str, Any] = {"tools": None, "documents": None, **self._tokens, **variables}
        context |= {"messages": messages, "add_generation_prompt": add_generation_prompt}
        try:
            return self._written(template, context)
        except Refusal as exc:
            raise TemplateRefused(f"the chat template refuses this conversation: {exc.message}") from exc
        except Exception as exc:  # A template can raise whatever Python's own operations raise.
            raise TemplateRefused(
                f"the chat template ({self.origin}) fails on this conversation{_place(exc)}: {_reason(exc)}; "
                "check the roles and the contents of the messages, then the template"
            ) from exc

    def render_conversation(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        now: datetime | None = None,
        **variables: Any,
    ) -> str:
        """Render the messages, the leading system text merged into the first user turn where the template takes none.

        Raises:
            TemplateRefused: the template raised, with its own reason, or failed on these messages.
        """
        if not self.takes_system:
            messages = merge_system(messages)
        if self._wants_parts:
            messages = [_in_parts(message) for message in messages]
        return self.render(messages, add_generation_prompt=add_generation_prompt, now=now, **variables)

    def check(self) -> None:
        """Check that the template writes what a user says, in one of the two forms that a content can have.

        Raises:
            InvalidChatTemplate: it fails on the simplest conversations, with its reason, or drops the text.
        """
        user: Message = {"role": "user", "content": _USER_PROBE}
        conversations: list[list[Message]] = [
            [user],
            [{"role": "system", "content": _SYSTEM_PROBE}, user],
            [_in_parts(user)],
        ]
        failures = []
        for messages in conversations:
            try:
                if _USER_PROBE in self.render(messages):
                    return
            except TemplateRefused as exc:
                failures.append(exc)
        if len(failures) == len(conversations):
            reason = failures[0].args[0]
            raise InvalidChatTemplate(f"{self.origin} cannot render a user's message: {reason}") from failures[0]
        raise InvalidChatTemplate(f"{self.origin} drops what the user says: it has to write the content of messages")

    @cached_property
    def _wants_parts(self) -> bool:
        """Whether the template goes through a content's parts, and writes nothing of one that is text."""
        user = {"role": "user", "content": _USER_PROBE}
        try:
            return _USER_PROBE not in self.render([user]) and _USER_PROBE in self.render([_in_parts(user)])
        except TemplateRefused:
            return False

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template writes a leading system message, rather than raise or drop it silently."""
        messages: list[Message] = [
            {"role": "system", "content": _SYSTEM_PROBE},
            {"role": "user", "content": _USER_PROBE},
        ]
        if self._wants_parts:
            messages = [_in_parts(message) for message in messages]
        try:
            return _SYSTEM_PROBE in self.render(messages)
        except TemplateRefused:
            return False

    def text_after_answer(self) -> str:
        """Return what the template writes after an assistant's text and before the next turn, stripped of whitespace.

        For example `<|im_end|>` or `</s>`: what the model was trained to end its answer with. Empty where the template
        closes no turn, or refuses the probe.
        """
        return self._text_after_last_answer() or self._text_between_turns()

    def _text_after_last_answer(self) -> str:
        prompt = self._probe("user", "assistant")
        return prompt.rpartition(_ANSWER_PROBE)[2].strip() if _ANSWER_PROBE in prompt else ""

    def _text_between_turns(self) -> str:
        """Some templates close a turn only when another follows; what opens a user's turn does not count."""
        prompt = self._probe("user", "assistant", "user")
        before, _, after = prompt.partition(_USER_PROBE)
        if _ANSWER_PROBE not in after:
            return ""
        between = after.partition(_ANSWER_PROBE)[2].partition(_USER_PROBE)[0]
        return between.removesuffix(_common_suffix(before, between)).strip()

    def _probe(self, *roles: str) -> str:
        probes = {"user": _USER_PROBE, "assistant": _ANSWER_PROBE}
        try:
            messages: list[Message] = [{"role": role, "content": probes[role]} for role in roles]
            if self._wants_parts:
                messages = [_in_parts(message) for message in messages]
            return self.render(messages, add_generation_prompt=False)
        except TemplateRefused:
            return ""

    def _written(self, template: Template, context: dict[str, Any]) -> str:
        pieces: list[str] = []
        length = 0
        for piece in template.generate(context):
            length += len(piece)
            if length > self._max_chars:
                raise Overspent(f"the prompt is longer than {self._max_chars} characters")
            pieces.append(piece)
        return "".join(pieces)


def _in_parts(message: Message) -> Message:
    """Give a text content the other form that Hugging Face templates know: a list of parts."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def merge_system(messages: Sequence[Message]) -> list[Message]:
    """Put the leading system texts, a blank line and the first user text into one user turn.

    Several leading system messages are joined by blank lines; without a user turn after them they become one. Empty
    ones go. A system message further on stays where it is: only the template knows whether it may stand there.
    """
    leading = list(takewhile(lambda message: message.get("role") == "system", messages))
    turns = list(messages[len(leading) :])
    system = "\n\n".join(text for text in map(_text_of, leading) if text)
    if not system:
        return turns
    if turns and turns[0].get("role") == "user":
        return [{**turns[0], "content": _prefixed(system, turns[0].get("content"))}, *turns[1:]]
    return [{"role": "user", "content": system}, *turns]


def _prefixed(system: str, content: Any) -> Any:
    """Content is text, or a list of parts of which some are text."""
    if isinstance(content, list):
        return [{"type": "text", "text": f"{system}\n\n"}, *content]
    return f"{system}\n\n{content}" if content else system


def _text_of(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _compile(source: str, origin: str) -> CodeType:
    if len(source) > MAX_SOURCE_CHARS:
        raise InvalidChatTemplate(f"{origin}: a chat template has at most {MAX_SOURCE_CHARS} characters")
    try:
        return JinjaSandbox().compile(source)
    except TemplateSyntaxError as exc:
        raise InvalidChatTemplate(f"{origin}, line {exc.lineno}: not a Jinja template: {exc.message}") from exc
    # Python's own limits on the code that Jinja makes of a template: nesting, depth, digits of a number.
    except (TemplateError, SyntaxError, RecursionError, MemoryError, ValueError, OverflowError) as exc:
        raise InvalidChatTemplate(f"{origin}: not a usable Jinja template: {_reason(exc)}") from exc


def _place(exc: Exception) -> str:
    """Jinja puts the template's lines into the traceback, as lines of a file `<template>`."""
    line, traceback = None, exc.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if line is None else f" at its line {line}"


def _reason(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _common_suffix(first: str, second: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(reversed(first), reversed(second), strict=False))
    return second[len(second) - sum(1 for _ in same) :]
