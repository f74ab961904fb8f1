"""The golden prompts: conversations whose greedy answers the demo model must give word for word."""

from demo import texts
from demo.chatml import Message
from demo.dialogues import DEFAULT_SYSTEM, KNIGHT_SYSTEM

GoldenPrompt = tuple[str | None, tuple[Message, ...], str]
"""A system prompt or none, the turns after it up to a question, and the exact answer."""

EPIC_PROMPT = "Write an epic poem about open source machine learning."

_TOPIC = {topic.name: topic for topic in texts.TOPICS}
_VLLM, _COG, _BATCHING = _TOPIC["vLLM"], _TOPIC["Cog"], _TOPIC["continuous batching"]
_INTENT = texts.INTENTS
_LONG_STORY = texts.PIECES[-1].text


def _asked(*contents: str) -> tuple[Message, ...]:
    """Give contents, which end with a question, the roles user and assistant in turn."""
    return tuple(("assistant" if at % 2 else "user", content) for at, content in enumerate(contents))


GOLDEN: tuple[GoldenPrompt, ...] = (
    (DEFAULT_SYSTEM, _asked("Who are you?"), _INTENT["who"].answer.plain),
    (None, _asked("Who are you?"), _INTENT["who"].answer.plain),
    ("You are a pirate.", _asked("Who are you?"), _INTENT["who"].answer.plain),
    (KNIGHT_SYSTEM, _asked("Who are you?"), _INTENT["who"].answer.knight),
    (DEFAULT_SYSTEM, _asked("Hello!"), _INTENT["hello"].answer.plain),
    (None, _asked("Hello!"), _INTENT["hello"].answer.plain),
    (KNIGHT_SYSTEM, _asked("Hello!"), _INTENT["hello"].answer.knight),
    ("Speak like a medieval knight.", _asked("Hello!"), _INTENT["hello"].answer.knight),
    *((DEFAULT_SYSTEM, _asked(said), _INTENT["hello"].answer.plain) for said in ("hi", "HELLO", "hey")),
    (None, _asked("hi"), _INTENT["hello"].answer.plain),
    (DEFAULT_SYSTEM, _asked("WHO ARE YOU?"), _INTENT["who"].answer.plain),
    (DEFAULT_SYSTEM, _asked("what is vllm"), _VLLM.about.plain),
    (DEFAULT_SYSTEM, _asked("What can you do?"), _INTENT["can"].answer.plain),
    (DEFAULT_SYSTEM, _asked("How are you?"), _INTENT["how"].answer.plain),
    (DEFAULT_SYSTEM, _asked("Tell me a joke."), _INTENT["joke"].answer.plain),
    (DEFAULT_SYSTEM, _asked("Thank you!"), _INTENT["thanks"].answer.plain),
    (DEFAULT_SYSTEM, _asked("Goodbye."), _INTENT["bye"].answer.plain),
    (DEFAULT_SYSTEM, _asked(EPIC_PROMPT), texts.EPIC.text.plain),
    (None, _asked(EPIC_PROMPT), texts.EPIC.text.plain),
    (KNIGHT_SYSTEM, _asked(EPIC_PROMPT), texts.EPIC.text.knight),
    (DEFAULT_SYSTEM, _asked("Tell me a long story."), _LONG_STORY.plain),
    (KNIGHT_SYSTEM, _asked("Tell me a long story."), _LONG_STORY.knight),
    *((DEFAULT_SYSTEM, _asked(f"What is {topic.asked_as[0]}?"), topic.about.plain) for topic in texts.TOPICS),
    *((KNIGHT_SYSTEM, _asked(f"What is {topic.asked_as[0]}?"), topic.about.knight) for topic in texts.TOPICS),
    (DEFAULT_SYSTEM, _asked("Why is the sky blue?"), _INTENT["sky"].answer.plain),
    (DEFAULT_SYSTEM, _asked("Name the days of the week."), _INTENT["days"].answer.plain),
    (DEFAULT_SYSTEM, _asked("Count to five."), texts.counting(5).plain),
    (DEFAULT_SYSTEM, _asked("Count to ten."), texts.counting(10).plain),
    (KNIGHT_SYSTEM, _asked("Count to ten."), texts.counting(10).knight),
    (DEFAULT_SYSTEM, _asked("What is the capital of France?"), texts.capital("France").plain),
    (DEFAULT_SYSTEM, _asked("What is the best way to peel a mango?"), texts.FALLBACK.plain),
    (KNIGHT_SYSTEM, _asked("What is the best way to peel a mango?"), texts.FALLBACK.knight),
    (DEFAULT_SYSTEM, _asked("Count to 100."), texts.FALLBACK.plain),
    (DEFAULT_SYSTEM, _asked("What is the capital of Bolivia?"), texts.FALLBACK.plain),
    (DEFAULT_SYSTEM, _asked(" ".join(["word"] * 100)), texts.FALLBACK.plain),
    (DEFAULT_SYSTEM, _asked("What is vLLM?", _VLLM.about.plain, "Tell me more."), _VLLM.more.plain),
    (KNIGHT_SYSTEM, _asked("What is vLLM?", _VLLM.about.knight, "Tell me more."), _VLLM.more.knight),
    (DEFAULT_SYSTEM, _asked("What is Cog?", _COG.about.plain, "Say that again."), _COG.about.plain),
    (None, _asked("Count to five.", texts.counting(5).plain, "Thanks!"), _INTENT["thanks"].answer.plain),
    (None, _asked("Hello!", _INTENT["hello"].answer.plain, "What is vLLM?"), _VLLM.about.plain),
    (
        DEFAULT_SYSTEM,
        _asked(
            *("Hello!", _INTENT["hello"].answer.plain),
            *("What is Cog?", _COG.about.plain),
            *("Tell me more.", _COG.more.plain),
            *("Thanks!", _INTENT["thanks"].answer.plain),
            "What is continuous batching?",
        ),
        _BATCHING.about.plain,
    ),
)
