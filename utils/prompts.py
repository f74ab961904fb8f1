"""Which template a model's prompts take, and rendering them to token ids."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from prompt_templates import TEMPLATES, PromptTemplate, infer_is_instruct, infer_template
from utils.chat_template import ChatTemplate
from utils.errors import (
    InvalidChatTemplate,
    InvalidMessages,
    InvalidPrompt,
    InvalidPromptTemplate,
    PromptTooLong,
    nearest,
)
from utils.request import DEFAULT_SYSTEM_PROMPT, GenerationRequest

_PLACEHOLDER = re.compile(r"(?<!\{)\{(prompt|system_prompt)\}(?!\})")


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    chat_template: Any
    bos_token: str | None
    eos_token: str | None
    bos_token_id: int | None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """Return token ids, with or without the tokens that the tokenizer puts around a text by itself."""
        ...

    def get_added_vocab(self) -> dict[str, int]:
        """Return the tokens that were added to the vocabulary, the special ones among them."""
        ...


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt: its text, its token ids, and what ends the answer to it."""

    text: str
    token_ids: list[int]
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]


@dataclass(frozen=True)
class LiteralTemplate:
    """Text in which {prompt} and {system_prompt} stand for those; nothing else in it means anything."""

    text: str

    @property
    def takes_system(self) -> bool:
        """Whether the text has a place for the system prompt."""
        return "system_prompt" in _PLACEHOLDER.findall(self.text)

    def render(self, prompt: str, system_prompt: str) -> str:
        """Put both in their places, in one pass: what they contain is not looked at again."""
        values = {"prompt": prompt, "system_prompt": system_prompt}
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)


@dataclass(frozen=True)
class Choice:
    """A template, or None for the prompt as it is, with where it came from and what ends an answer."""

    template: ChatTemplate | LiteralTemplate | None
    origin: str
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelTraits:
    """What the choice of a template looks at, beside the tokenizer."""

    model_id: str
    architecture: str | None
    is_instruct: bool | None
    prompt_template: str | None


class Prompts:
    """Renders the prompts of one model."""

    def __init__(
        self, traits: ModelTraits, tokenizer: Tokenizer, *, max_model_len: int, system_prompt: str | None
    ) -> None:
        """Choose the model's template; `system_prompt` is the config's, None where it has none.

        Raises:
            InvalidChatTemplate: the config's or the tokenizer's template cannot be used, or
                is_instruct is true and no template is to be had.
        """
        self._tokenizer = tokenizer
        self._max_model_len = max_model_len
        self._system_prompt = system_prompt
        self._wants_bos = tokenizer.encode("a", add_special_tokens=True)[:1] == [tokenizer.bos_token_id]
        self.choice = choose(traits, tokenizer)
        self.is_instruct = self.choice.template is not None and traits.is_instruct is not False
        self._named: dict[str, Choice] = {}

    @property
    def takes_messages(self) -> bool:
        """Whether conversations can be rendered."""
        return self.is_instruct and isinstance(self.choice.template, ChatTemplate)

    @property
    def default_system_prompt(self) -> str:
        """The system prompt of a request that names none; empty for a base model."""
        if not self.is_instruct:
            return ""
        return DEFAULT_SYSTEM_PROMPT if self._system_prompt is None else self._system_prompt

    def render(self, request: GenerationRequest) -> Prompt:
        """Render a request to text and token ids.

        Raises:
            InvalidPromptTemplate: the request's own template is neither a name nor literal text.
            InvalidPrompt, InvalidMessages: this model's template does not take what was given.
            TemplateRefused: the chat template raised on this conversation.
            PromptTooLong: no room is left for an answer.
        """
        choice = self._choice_of(request.prompt_template)
        text = self._text(choice.template, request)
        token_ids = self._encode(text)
        if len(token_ids) >= self._max_model_len:
            raise PromptTooLong(
                f"the prompt has {len(token_ids)} tokens and the model takes {self._max_model_len} with the answer: "
                f"shorten it to {self._max_model_len - 1} or fewer"
            )
        return Prompt(text, token_ids, choice.stop, choice.stop_token_ids)

    def _choice_of(self, prompt_template: str | None) -> Choice:
        if not prompt_template:
            return self.choice
        if prompt_template in TEMPLATES:
            return self._named_choice(prompt_template)
        if "prompt" not in _PLACEHOLDER.findall(prompt_template):
            raise InvalidPromptTemplate(
                f"prompt_template {_shortened(prompt_template)!r} has no {{prompt}} in it and is not a name from "
                f"prompt_templates.py ({nearest(prompt_template, TEMPLATES)}); a request takes no Jinja"
            )
        return replace(self.choice, template=LiteralTemplate(prompt_template), origin="the request")

    def _named_choice(self, name: str) -> Choice:
        if name not in self._named:
            choice = _choice_of_named(TEMPLATES[name], "named in the request", self._tokenizer)
            self._named[name] = replace(
                choice, stop_token_ids=tuple({*choice.stop_token_ids, *self.choice.stop_token_ids})
            )
        return self._named[name]

    def _text(self, template: ChatTemplate | LiteralTemplate | None, request: GenerationRequest) -> str:
        if isinstance(template, ChatTemplate):
            return template.render_conversation(self._conversation(request))
        if request.prompt is None:
            raise InvalidMessages(
                "messages need a chat template, and this prompt has none: give prompt, or name a chat template"
            )
        if isinstance(template, LiteralTemplate):
            return self._literal_text(template, request)
        if request.system_prompt:
            raise InvalidPrompt("system_prompt needs a template, and this is a base model: put it into the prompt")
        return request.prompt

    def _literal_text(self, template: LiteralTemplate, request: GenerationRequest) -> str:
        """Without a place for it, a system prompt that somebody set goes before the prompt; the built-in one goes."""
        assert request.prompt is not None, "checked by the caller"
        if template.takes_system:
            return template.render(request.prompt, self._system_of(request))
        given = request.system_prompt if request.system_prompt is not None else self._system_prompt
        return template.render(f"{given}\n\n{request.prompt}" if given else request.prompt, "")

    def _conversation(self, request: GenerationRequest) -> list[dict[str, str]]:
        if request.messages is None:
            messages = [{"role": "user", "content": request.prompt or ""}]
        else:
            messages = [message.model_dump() for message in request.messages]
        if any(message["role"] == "system" for message in messages):
            if request.system_prompt:
                raise InvalidMessages("system_prompt is given and messages has a system message: give one of them")
            return messages
        system = self._system_of(request)
        return [{"role": "system", "content": system}, *messages] if system else messages

    def _system_of(self, request: GenerationRequest) -> str:
        return self.default_system_prompt if request.system_prompt is None else request.system_prompt

    def _encode(self, text: str) -> list[int]:
        """Tokenize with one BOS where the tokenizer puts one before a text by itself, and never a second."""
        token_ids = list(self._tokenizer.encode(text, add_special_tokens=False))
        bos = self._tokenizer.bos_token_id
        if self._wants_bos and bos is not None and token_ids[:1] != [bos]:
            token_ids.insert(0, bos)
        return token_ids


def choose(traits: ModelTraits, tokenizer: Tokenizer) -> Choice:
    """Choose the template: the config's, else the tokenizer's own, else an inferred one, else none.

    A name that is known to be a base model's goes before a template that its tokenizer
    happens to have; `is_instruct: true` overrides that.

    Raises:
        InvalidChatTemplate: what was found cannot be used, or is_instruct is true and nothing was found.
    """
    if traits.prompt_template is not None:
        return _choice_of_configured(traits.prompt_template, tokenizer)
    by_name = infer_is_instruct(traits.model_id)
    is_instruct = by_name if traits.is_instruct is None else traits.is_instruct
    if is_instruct is False:
        return Choice(None, "none: a base model" + ("" if traits.is_instruct is False else " by its name"))
    own = _own_template(tokenizer)
    if own is not None:
        return _choice_of_jinja(own, "the tokenizer's own", tokenizer)
    inferred = infer_template(
        traits.model_id,
        architecture=traits.architecture,
        special_tokens=tokenizer.get_added_vocab(),
        is_instruct=traits.is_instruct,
    )
    if inferred is not None:
        return _choice_of_named(inferred, "inferred", tokenizer)
    if traits.is_instruct:
        raise InvalidChatTemplate(
            f"is_instruct is true, but {traits.model_id} has no chat template and none could be inferred: "
            "set prompt_template"
        )
    return Choice(None, "none: nothing says that this is an instruct model")


def _own_template(tokenizer: Tokenizer) -> str | None:
    """A tokenizer has one template, or several by name, of which `default` is the one for chat."""
    own = getattr(tokenizer, "chat_template", None)
    return own.get("default") if isinstance(own, dict) else own


def _choice_of_configured(text: str, tokenizer: Tokenizer) -> Choice:
    if text in TEMPLATES:
        return _choice_of_named(TEMPLATES[text], "named in the config", tokenizer)
    placeholders = _PLACEHOLDER.findall(text)
    if "prompt" in placeholders and "{%" not in text:
        return Choice(LiteralTemplate(text), "the config's literal text")
    if "{{" in text or "{%" in text:
        return _choice_of_jinja(text, "the config's Jinja", tokenizer)
    raise InvalidChatTemplate(
        f"prompt_template {_shortened(text)!r} has no {{prompt}} in it, is not Jinja, and is not a name from "
        f"prompt_templates.py ({nearest(text, TEMPLATES)})"
    )


def _choice_of_named(named: PromptTemplate, how: str, tokenizer: Tokenizer) -> Choice:
    template = _compiled(named.source, f"{named.name} of prompt_templates.py", tokenizer)
    added = tokenizer.get_added_vocab()
    return Choice(
        template,
        f"{named.name} of prompt_templates.py, {how}",
        stop=tuple(text for text in named.stop_tokens if text not in added and text != tokenizer.eos_token),
        stop_token_ids=tuple(added[text] for text in named.stop_tokens if text in added),
    )


def _choice_of_jinja(source: str, origin: str, tokenizer: Tokenizer) -> Choice:
    template = _compiled(source, origin, tokenizer)
    template.check()
    return Choice(
        template,
        origin,
        stop_token_ids=tuple(_leading_token(template.text_after_answer(), tokenizer.get_added_vocab())),
    )


def _compiled(source: str, origin: str, tokenizer: Tokenizer) -> ChatTemplate:
    return ChatTemplate(source, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token, origin=origin)


def _leading_token(text: str, added: dict[str, int]) -> Iterator[int]:
    """Yield the id of the longest added token that `text` begins with: what closes the assistant's turn."""
    matching: Collection[str] = [token for token in added if text.lstrip().startswith(token)]
    if matching:
        yield added[max(matching, key=len)]


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
