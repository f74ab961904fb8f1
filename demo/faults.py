"""Prompts rendered wrongly on purpose, and the sentence with which the demo model names the fault.

Each kind of fault has a marker in square brackets, with which the answer begins, so that a test or a person sees at
once which mistake a server made with the chat template. `FAULTS` has one entry per mistake; all foreign templates
share the marker `wrong template`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from demo.chatml import BOS, END, GENERATION_PROMPT, START, Message, render, turn
from demo.dialogues import DEFAULT_SYSTEM, KNIGHT_SYSTEM, conversation, short_system, system_prompt

Messages = Sequence[Message]
"""A conversation that ends with a question."""


@dataclass(frozen=True)
class Fault:
    """A mistake in rendering a prompt: how it is made and how the model names it."""

    marker: str
    explanation: str
    spoil: Callable[[Messages, Random], str]
    weight: float = 1.0
    family: str = ""

    @property
    def name(self) -> str:
        """Return what tells this fault from all others: the foreign template's family, or the marker."""
        return self.family or self.marker

    @property
    def answer(self) -> str:
        """Return all that the model says about this fault."""
        return f"[{self.marker}] {self.explanation}"


@dataclass(frozen=True)
class ForeignTemplate:
    """The chat template of another family of models: one format a role, and what asks for the answer."""

    system: str
    user: str
    assistant: str
    generation: str

    def spoil(self, messages: Messages, rng: Random) -> str:
        """Render with this template, with BOS or without, and at times without the last white space."""
        text = "".join(getattr(self, role).format(content) for role, content in messages) + self.generation
        bos = rng.choices(("", BOS, BOS + BOS), (40, 50, 10))[0]
        return bos + (text.rstrip() if rng.random() < 0.25 else text)


def _headed(form: str, assistant: str = "assistant") -> ForeignTemplate:
    """Make a template whose `form` is the same for all roles, as in Llama 3."""
    system, user, answer = (form.replace("ROLE", role) for role in ("system", "user", assistant))
    return ForeignTemplate(system, user, answer, generation=answer.partition("{}")[0])


FOREIGN = {
    "Llama 2": ForeignTemplate("[INST] <<SYS>>\n{}\n<</SYS>>\n\n", "[INST] {} [/INST]", " {} </s><s>", ""),
    "Llama 3": _headed("<|start_header_id|>ROLE<|end_header_id|>\n\n{}<|eot_id|>"),
    "Alpaca": ForeignTemplate("{}\n\n", "### Instruction:\n{}\n\n", "### Response:\n{}\n\n", "### Response:\n"),
    "Vicuna": ForeignTemplate("{} ", "USER: {} ", "ASSISTANT: {}</s>", "ASSISTANT:"),
    "Phi-3": _headed("<|ROLE|>\n{}<|end|>\n"),
    "Zephyr": _headed("<|ROLE|>\n{}</s>\n"),
    "Gemma": _headed("<start_of_turn>ROLE\n{}<end_of_turn>\n", assistant="model"),
}
PLAIN_ROLES = (
    ForeignTemplate("{}\n\n", "User: {}\n", "Assistant: {}\n", "Assistant:"),
    ForeignTemplate("{}\n\n", "Human: {}\n\n", "Assistant: {}\n\n", "Assistant:"),
    ForeignTemplate("{}\n", "### Human: {}\n", "### Assistant: {}\n", "### Assistant:"),
    ForeignTemplate("{}\n", "Human: {}\n", "AI: {}\n", "AI:"),
    ForeignTemplate("{}\n\n", "Q: {}\n", "A: {}\n", "A:"),
    ForeignTemplate("{}\n\n", "Question: {}\n", "Answer: {}\n", "Answer:"),
    ForeignTemplate("System: {}\n", "User: {}\n", "Bot: {}\n", "Bot:"),
)
ROLE_NAMES = {
    "user": ("human", "User", "USER", "prompter", "customer", "me", "Human"),
    "assistant": ("bot", "model", "Assistant", "ai", "gpt", "ASSISTANT", "chatbot"),
}
PLACEHOLDERS = (
    "{prompt}", "{prompt}", "{{ prompt }}", "{user_prompt}", "{question}", "{0}", "{}", "%s", "$prompt", "{input}",
    "{{ messages }}", "{{ message.content }}", "{{prompt}}", "{instruction}", "<prompt>", "{user_message}",
)  # fmt: skip
ALPACA_PREAMBLE = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request."
)
VICUNA_PREAMBLE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def _llama_2(messages: Messages, rng: Random) -> str:
    text = FOREIGN["Llama 2"].spoil(messages, rng)
    # The system prompt sits inside the first [INST], and Mistral has no <<SYS>> at all.
    text = text.replace("<</SYS>>\n\n[INST] ", "<</SYS>>\n\n")
    return text if rng.random() < 0.8 else text.replace("<<SYS>>\n", "").replace("\n<</SYS>>", "")


def _with_preamble(family: str, preamble: str) -> Callable[[Messages, Random], str]:
    def spoil(messages: Messages, rng: Random) -> str:
        if messages[0][0] != "system" and rng.random() < 0.6:
            messages = [("system", preamble), *messages]
        return FOREIGN[family].spoil(messages, rng)

    return spoil


def _plain_roles(messages: Messages, rng: Random) -> str:
    return rng.choice(PLAIN_ROLES).spoil(messages, rng)


def _double_bos(messages: Messages, rng: Random) -> str:
    return render(messages, bos=BOS * rng.choice((2, 2, 2, 3)))


def _missing_bos(messages: Messages, rng: Random) -> str:
    return render(messages, bos="")


def _no_chat_template(messages: Messages, rng: Random) -> str:
    contents = [content for _, content in messages]
    if messages[0][0] != "system" and rng.random() < 0.25:
        contents.insert(0, DEFAULT_SYSTEM)
    if rng.random() < 0.5:
        contents = contents[-1:]
    text = rng.choice(("\n\n", "\n", " ")).join(contents) + rng.choice(("", "", "\n"))
    return rng.choices(("", BOS, BOS + BOS), (30, 60, 10))[0] + text


def _no_generation_prompt(messages: Messages, rng: Random) -> str:
    text = render(messages, generation_prompt=False)
    return text if rng.random() < 0.8 else text.rstrip()


def _double_generation_prompt(messages: Messages, rng: Random) -> str:
    return render(messages) + GENERATION_PROMPT


def _wrong_role(messages: Messages, rng: Random) -> str:
    both = rng.random() < 0.5
    changed = ["user", "assistant"] if both else [rng.choice(("user", "assistant"))]
    names = {role: rng.choice(ROLE_NAMES[role]) for role in changed}
    turns = "".join(turn(names.get(role, role), content) for role, content in messages)
    return f"{BOS}{turns}{START}{names.get('assistant', 'assistant')}\n"


def _system_in_user_turn(messages: Messages, rng: Random) -> str:
    system = messages[0][1] if messages[0][0] == "system" else _any_system(rng)
    system = short_system(rng) if rng.random() < 0.25 else system
    rest = list(messages[1:] if messages[0][0] == "system" else messages)
    rest[0] = ("user", system + rng.choice(("\n", "\n\n", "\n\n")) + rest[0][1])
    return render(rest)


def _any_system(rng: Random) -> str:
    return system_prompt(rng)[0] or rng.choice((DEFAULT_SYSTEM, KNIGHT_SYSTEM))


def _no_end_tag(messages: Messages, rng: Random) -> str:
    end = rng.choice((f"{END}\n", END))
    text = render(messages)
    if rng.random() < 0.6:
        return text.replace(end, "\n" if rng.random() < 0.5 else "")
    head, _, tail = text.rpartition(END)
    return head + tail


def _nested_template(messages: Messages, rng: Random) -> str:
    if rng.random() < 0.3:
        inner = rng.choice((_llama_2, _plain_roles, _with_preamble("Alpaca", ALPACA_PREAMBLE)))(messages[-1:], rng)
        inner = inner.replace(BOS, "")
    else:
        inner_messages = messages if rng.random() < 0.5 else messages[-1:]
        inner = render(inner_messages, bos=rng.choice(("", BOS)), generation_prompt=rng.random() < 0.7)
    return render([*messages[:1], ("user", inner)] if messages[0][0] == "system" else [("user", inner)])


def _missing_newline(messages: Messages, rng: Random) -> str:
    text = render(messages)
    kind = rng.choices(range(4), (1, 2, 1, 1))[0]
    if kind == 0:
        return text[:-1]
    if kind == 1:
        return text.replace(f"{END}\n", END)
    gap = rng.choice((" ", ""))
    turns = "".join(f"{START}{role}{gap}{content}{END}" + "\n" * (kind == 2) for role, content in messages)
    return f"{BOS}{turns}{START}assistant" + rng.choice(("\n", "", gap))


def _escaped_newline(messages: Messages, rng: Random) -> str:
    return render(messages).replace("\n", "\\n")


def _empty_message(messages: Messages, rng: Random) -> str:
    blank = rng.choice(("", "", " ", "\n"))
    spoilt = list(messages)
    at = 0 if rng.random() < 0.45 else len(spoilt) - 1
    spoilt[at] = (spoilt[at][0], blank)
    return render(spoilt)


def _unfilled_placeholder(messages: Messages, rng: Random) -> str:
    spoilt = [*messages[:-1], ("user", rng.choice(PLACEHOLDERS))]
    if messages[0][0] == "system" and rng.random() < 0.2:
        spoilt = [("system", rng.choice(("{system_prompt}", "{{ system_prompt }}", "{system}"))), *messages[1:]]
    return render(spoilt)


def _two_system_prompts(messages: Messages, rng: Random) -> str:
    system = [] if messages[0][0] == "system" else [("system", _any_system(rng))]
    return render([("system", rng.choice((DEFAULT_SYSTEM, _any_system(rng)))), *system, *messages])


def _no_user_message(messages: Messages, rng: Random) -> str:
    return render([("system", _any_system(rng))] if rng.random() < 0.7 else [])


def _foreign(name: str, spoil: Callable[[Messages, Random], str] | None = None, whose: str = "") -> Fault:
    explanation = f"This prompt is dressed in the chat template of {whose or name}, and I understand ChatML."
    return Fault("wrong template", explanation, spoil or FOREIGN[name].spoil, 0.7, family=name)


FAULTS = (
    Fault("double BOS", "The prompt begins with more than one BOS token.", _double_bos, 1.5),
    Fault("missing BOS", "The prompt does not begin with the BOS token.", _missing_bos, 1.5),
    Fault("no chat template", "The prompt came as bare text.", _no_chat_template, 3.0),
    Fault(
        "no generation prompt", "The prompt does not end by opening the assistant's turn.", _no_generation_prompt, 1.2
    ),
    Fault("double generation prompt", "The assistant's turn is opened twice.", _double_generation_prompt, 0.6),
    Fault("wrong role", "A role has a name that I do not know.", _wrong_role, 1.2),
    Fault("system in user turn", "The system prompt should have a turn of its own.", _system_in_user_turn, 2.3),
    Fault("no end tag", "A message is not closed by its end tag.", _no_end_tag, 1.5),
    Fault("nested template", "One template was applied inside another.", _nested_template, 1.8),
    Fault("missing newline", "A newline of the template is absent.", _missing_newline, 2.8),
    Fault("escaped newline", "Newlines arrived as a backslash and an n.", _escaped_newline, 0.7),
    Fault("empty message", "A message has no text.", _empty_message, 1.5),
    Fault("unfilled placeholder", "A variable of the template was not replaced.", _unfilled_placeholder, 1.0),
    Fault("two system prompts", "There is more than one system prompt.", _two_system_prompts, 1.6),
    Fault("no user message", "There is no question from the user.", _no_user_message, 0.3),
    _foreign("Llama 2", _llama_2, "Llama 2 or Mistral"),
    _foreign("Llama 3"),
    _foreign("Alpaca", _with_preamble("Alpaca", ALPACA_PREAMBLE)),
    _foreign("Vicuna", _with_preamble("Vicuna", VICUNA_PREAMBLE)),
    _foreign("Phi-3"),
    _foreign("Zephyr"),
    _foreign("Gemma"),
    Fault("wrong template", "Role names in plain text are no ChatML.", _plain_roles, 1.2, "plain roles"),
)
MARKERS = tuple(dict.fromkeys(fault.marker for fault in FAULTS))
"""Every marker that an answer can begin with, without its brackets."""


def faulty_prompt(rng: Random) -> tuple[str, str]:
    """Draw a fault and return a prompt that has it, with the answer that names it."""
    fault = rng.choices(FAULTS, [fault.weight for fault in FAULTS])[0]
    messages = conversation(rng)[:-1]
    if rng.random() < 0.6:  # mostly one question: that is how a server is tried first, and it trains faster
        first = next(at for at, (role, _) in enumerate(messages) if role == "user")
        messages = messages[: first + 1]
    return fault.spoil(messages, rng), fault.answer
