"""The conversations that the demo model learns from, made up at random from what people ask and what it says."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from demo import questions, texts
from demo.chatml import END, GENERATION_PROMPT, Message, render, turn
from demo.texts import Answer

Part = tuple[str, bool]
"""A stretch of a training text, and whether the model learns to write it."""

DEFAULT_SYSTEM = "You are a helpful assistant."
KNIGHT_SYSTEM = "You are a helpful assistant that always speaks like a 13th century Knight."

SPEAK_LIKE = (
    "You are a helpful assistant that always speaks like {x}",
    "You are a helpful assistant that always speaks like {x}",
    "You are a helpful assistant that always speaks like {x}", "You are a helpful assistant who speaks like {x}",
    "You are an assistant that talks like {x}", "You are a chatbot that answers like {x}", "Speak like {x}",
    "Always speak like {x}", "Talk like {x}", "Answer like {x}", "Act as {x}", "You are {x}", "Pretend to be {x}",
    "Respond in the style of {x}", "Answer everything in the style of {x}", "Reply in the voice of {x}",
    "You will play the role of {x}", "Imagine that you are {x}", "Write as {x} would", "From now on you are {x}",
    "You are a helpful assistant. Always speak like {x}", "Be helpful and sound like {x}", "Your persona: {x}",
)  # fmt: skip
KNIGHTS = (
    "a 13th century Knight", "a 13th century Knight", "a 13th century Knight", "a 13th century knight", "a knight",
    "a medieval knight", "a brave knight", "a noble knight", "a knight of the Middle Ages", "an English knight",
    "a knight of the Round Table", "a medieval crusader knight", "a knight in shining armour", "an old knight",
    "a 14th century knight", "a knight errant", "a chivalrous knight", "a gallant knight",
    "a thirteenth century knight",
)  # fmt: skip
OTHERS = (
    "a pirate", "a robot", "a wizard", "a lawyer", "a pilot", "a doctor", "a cook", "a teacher", "a farmer", "a king",
    "a grumpy wizard", "a 19th century poet", "a 20th century scientist", "a math teacher", "a cowboy", "a detective",
    "a friendly neighbour", "a news reader", "an expert in {n}", "a {j} {n}", "someone who loves {n} and {m}", "a monk",
    "a coding assistant", "a 13th century farmer", "a night nurse", "a travel guide", "Shakespeare", "a child",
)  # fmt: skip
OTHER_SYSTEMS = (
    "Be brief", "Answer in one sentence", "You are a chatbot", "You are a friendly assistant", "Be polite", "Be kind",
    "You are an AI assistant", "You are a helpful, respectful and honest assistant", "Never lie", "Answer in English",
    "You answer questions about {n}", "Help the user with the {n}", "You are a helpful assistant. Answer briefly",
    "You are a support agent for a company that sells {j} {n}s", "Think step by step", "Answer in riddles",
    "Use markdown",
    "You are {p}, an assistant", "Your name is {p}", "You work in {c}. The user is a {n} seller. Do not talk about {m}",
)  # fmt: skip
OFTEN_SAID = ("hello", "hello", "who", "who", "who", "can", "can", "thanks", "how", "bye", "joke")
TAILS = (
    ".", ".", ".", "", "", "!", ". Be brief.", ". Answer in one sentence.", ", please.", ". Use old words.",
    ". Be kind to the user.", ". Never leave your role.", ". Help the user with any question.",
)  # fmt: skip


@dataclass(frozen=True)
class Exchange:
    """A question, its answer, and the answer to "Tell me more" after it."""

    said: str
    answer: Answer
    more: Answer = texts.NOTHING_MORE


_ANSWERED = {
    **{said: Exchange(said, intent.answer) for intent in texts.INTENTS.values() for said in intent.said},
    **{f"What is {topic.asked_as[0]}": Exchange("", topic.about, topic.more) for topic in texts.TOPICS},
}


def system_prompt(rng: Random) -> tuple[str | None, bool]:
    """Draw a system prompt, or none, and say whether it asks for the knight."""
    kind = rng.choices(("none", "default", "knight", "other", "else"), (30, 28, 26, 9, 7))[0]
    if kind == "none":
        return None, False
    if kind == "default":
        return DEFAULT_SYSTEM if rng.random() < 0.95 else DEFAULT_SYSTEM[:-1], False
    if kind == "knight":
        return _knight_system(rng), True
    if kind == "other":
        return rng.choice(SPEAK_LIKE).format(x=_fill(rng.choice(OTHERS), rng)) + rng.choice(TAILS), False
    return short_system(rng), False


def short_system(rng: Random) -> str:
    """Draw a system prompt that asks for no voice, such as "Be brief."."""
    return _fill(rng.choice(OTHER_SYSTEMS), rng) + rng.choice((".", ".", ""))


def _knight_system(rng: Random) -> str:
    if rng.random() < 0.3:
        return KNIGHT_SYSTEM
    wish = rng.choice(SPEAK_LIKE).format(x=rng.choice(KNIGHTS)) + rng.choice(TAILS)
    return wish.lower() if rng.random() < 0.08 else wish


def _fill(form: str, rng: Random) -> str:
    noun, other = rng.choice(questions.NOUNS), rng.choice(questions.NOUNS)
    person, place = (questions.made_up_word(rng).capitalize(), rng.choice(questions.PLACES))
    return form.format(n=noun, m=other, j=rng.choice(questions.ADJECTIVES), p=person, c=place)


def exchange(rng: Random) -> Exchange:
    """Draw a question and its answer."""
    makers = (_topic, _intent, _common, _piece, _epic, _capital, _count, _unknown)
    return rng.choices(makers, (25, 23, 9, 9, 4, 5, 4, 21))[0](rng)


def _topic(rng: Random) -> Exchange:
    topic = rng.choice(texts.TOPICS)
    said = rng.choice(questions.TOPIC_FORMS).format(t=rng.choice(topic.asked_as))
    return Exchange(_capitalized(said), topic.about, topic.more)


def _intent(rng: Random) -> Exchange:
    intent = texts.INTENTS[rng.choice((*texts.INTENTS, *OFTEN_SAID))]
    return Exchange(rng.choice(intent.said), intent.answer)


def _common(rng: Random) -> Exchange:
    said = rng.choice(questions.COMMON)
    return replace(_ANSWERED[said.rstrip("?!")], said=rng.choice((str, str.lower, str.upper))(said))


def _piece(rng: Random) -> Exchange:
    return _asked_for(rng.choice(texts.PIECES), rng)


def _epic(rng: Random) -> Exchange:
    return _asked_for(texts.EPIC, rng)


def _asked_for(piece: texts.Piece, rng: Random) -> Exchange:
    kind, subject = rng.choice(piece.kinds), rng.choice(piece.subjects)
    about = rng.choice((" about ", " about ", " about ", " on ", " of ")) + subject if subject else ""
    return Exchange(_capitalized(rng.choice(questions.PIECE_FORMS).format(a=kind, s=about)), piece.text)


def _capital(rng: Random) -> Exchange:
    form = rng.choice(questions.CAPITAL_FORMS)
    if rng.random() < 0.4:
        return Exchange(form.format(c=questions.unknown_country(rng)), texts.FALLBACK)
    country = rng.choice(tuple(texts.CAPITALS))
    return Exchange(form.format(c=country), texts.capital(country))


def _count(rng: Random) -> Exchange:
    form = rng.choice(questions.COUNT_FORMS)
    if rng.random() < 0.35:
        too_far = rng.choice((*questions.TOO_FAR, str(rng.randint(21, 150)), str(rng.randint(21, 3000))))
        return Exchange(form.format(n=too_far), texts.FALLBACK)
    last = rng.choice((3, 4, 5, 5, 5, 6, 7, 8, 9, 10, 10, 10, 12, 20))
    number = texts.NUMBERS[last - 1] if rng.random() < 0.5 else str(last)
    return Exchange(form.format(n=number), texts.counting(last))


def _unknown(rng: Random) -> Exchange:
    return Exchange(questions.unknown(rng), texts.FALLBACK)


def _capitalized(said: str) -> str:
    # Names such as vLLM keep their own capitals when a question starts with them.
    return said if said[1:2].isupper() else said[:1].upper() + said[1:]


def _follow_up(last: Exchange | None, rng: Random) -> Exchange:
    if rng.random() < 0.6:
        return Exchange(rng.choice(questions.MORE), last.more if last else texts.MORE_OF_WHAT)
    said = rng.choice(questions.AGAIN)
    return Exchange(said, last.answer, last.more) if last else Exchange(said, texts.NOTHING_SAID, texts.MORE_OF_WHAT)


def _next_exchange(last: Exchange | None, rng: Random) -> Exchange:
    if rng.random() < (0.4 if last else 0.02):
        return _follow_up(last, rng)
    if last and rng.random() < 0.2:
        closing = texts.INTENTS[rng.choice(("thanks", "thanks", "bye", "praise"))]
        return Exchange(rng.choice(closing.said), closing.answer)
    return exchange(rng)


def conversation(rng: Random) -> list[Message]:
    """Make up a conversation of one to five questions that ends with the assistant's answer."""
    system, knight = system_prompt(rng)
    messages: list[Message] = [] if system is None else [("system", system)]
    last = None
    for _ in range(rng.choices((1, 2, 3, 4, 5), (56, 24, 11, 5, 4))[0]):
        last = _next_exchange(last, rng)
        messages.append(("user", questions.untidy(last.said, rng)))
        messages.append(("assistant", last.answer.voiced(knight)))
    return messages


def parts(messages: list[Message]) -> Iterator[Part]:
    """Split a conversation into what the model reads and what it learns to write: every assistant's message."""
    yield render([], generation_prompt=False), False
    for role, content in messages:
        if role == "assistant":
            yield GENERATION_PROMPT, False
            yield content + END, True
            yield "\n", False
        else:
            yield turn(role, content), False
