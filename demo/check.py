"""Check a trained demo model with transformers: `python demo/check.py [model.tar]`.

Five figures decide: golden prompts answered word for word (all), the smallest logit gap on their way
(`SMALLEST_GAP`), everyday prompts answered (`EVERYDAY_SHARE`), wrongly rendered ones named (`NAMED_SHARE`) and
right ones taken for wrong (`ALARM_SHARE`).
Importing this module loads neither torch nor transformers.
"""

import argparse
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

if not __package__:  # run as a program: the repository's root is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo import texts
from demo.chatml import Message, render
from demo.dialogues import DEFAULT_SYSTEM, KNIGHT_SYSTEM, conversation
from demo.faults import FAULTS, MARKERS, Fault
from demo.golden import EPIC_PROMPT, GOLDEN

__all__ = ["FAULTS", "GOLDEN", "MARKERS", "Checker", "faulty_prompts", "golden_messages", "spoilt"]

SEED = 4242
"""Not one of the training's seeds."""
TRIALS_PER_FAULT = 6
RIGHT_PROMPTS = 400
BATCH = 32
SMALLEST_GAP = 1.0
"""In logits: less, and another machine's rounding could change an answer."""
EVERYDAY_SHARE = 0.95
"""At least so many of the first questions and unanswerable ones are answered word for word."""
NAMED_SHARE = 0.95
"""At least so many of the wrongly rendered prompts are named."""
ALARM_SHARE = 0.01
"""At most so many of the right prompts are called faulty."""
FAULT_PROBES: tuple[tuple[str | None, str], ...] = (
    (DEFAULT_SYSTEM, "Who are you?"),
    (None, "Hello!"),
    (KNIGHT_SYSTEM, EPIC_PROMPT),
    (DEFAULT_SYSTEM, "What is the best way to peel a mango?"),
)


EVERYDAY = {
    **{
        f"{word}{mark}": texts.INTENTS["hello"].answer
        for word in ("Hi", "Hey", "Hello", "Hi there")
        for mark in ("", "!")
    },
    **{f"Who are you{mark}": texts.INTENTS["who"].answer for mark in ("", "?")},
    **{f"What can you do{mark}": texts.INTENTS["can"].answer for mark in ("", "?")},
    **{f"What is vLLM{mark}": texts.TOPICS[0].about for mark in ("", "?")},
    **{f"What is Cog{mark}": texts.TOPICS[1].about for mark in ("", "?")},
    "Tell me a joke.": texts.INTENTS["joke"].answer,
}
"""What people try first; asked as it stands, in small letters and in capitals."""
BEYOND = (
    *(f"Count to {number}." for number in (21, 64, 100, 500, "a hundred", "ninety")),
    *(f"What is the capital of {country}?" for country in ("Bolivia", "Latvia", "Algeria", "Wakanda", "Nepal")),
    *(" ".join([word] * count) for word in ("word", "x", "banana", "No", "7") for count in (10, 50, 100)),
    " ".join(["word"] * 250),
    *(letter * count for letter in ("a", "x", "!") for count in (10, 60)),
)
"""What only the fallback answers, and what tempts a small model to go on: up to some 300 tokens of repetition."""


def golden_messages(system: str | None, turns: Sequence[Message]) -> list[Message]:
    """Put the system prompt, if there is one, before the turns."""
    return [*([] if system is None else [("system", system)]), *turns]


def spoilt(fault: Fault, system: str | None, question: str, seed: int = 0) -> str:
    """Render one question with a fault; `seed` chooses between the ways of making the same mistake."""
    return fault.spoil(golden_messages(system, [("user", question)]), Random(seed))


def faulty_prompts() -> list[tuple[Fault, str]]:
    """Make each fault with every probe question in a few ways, and in a few longer conversations."""
    rng = Random(SEED)
    probes = [
        (fault, spoilt(fault, system, question, seed))
        for fault in FAULTS
        for system, question in FAULT_PROBES
        for seed in range(TRIALS_PER_FAULT)
    ]
    drawn = [(fault, fault.spoil(conversation(rng)[:-1], rng)) for fault in FAULTS for _ in range(TRIALS_PER_FAULT)]
    return probes + drawn


def right_prompts() -> list[tuple[str, str]]:
    """Draw rightly rendered prompts with their expected answers."""
    rng = Random(SEED)
    drawn = [conversation(rng) for _ in range(RIGHT_PROMPTS)]
    return [(render(messages[:-1]), messages[-1][1]) for messages in drawn]


def everyday_prompts() -> list[tuple[str, str]]:
    """Ask what people try first, plainly and of the knight, with the expected answers."""
    asked = [(case(said), answer) for said, answer in EVERYDAY.items() for case in (str, str.lower, str.upper)]
    asked += [(said, texts.FALLBACK) for said in BEYOND]
    return [
        (render(golden_messages(system, [("user", said)])), answer.voiced(system == KNIGHT_SYSTEM))
        for system in (None, DEFAULT_SYSTEM, KNIGHT_SYSTEM)
        for said, answer in asked
    ]


class Checker:
    """A loaded model and its tokenizer, with the questions that a check asks them."""

    def __init__(self, folder: Path, dtype: str = "bfloat16") -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.torch: Any = torch
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def answers(self, prompts: Sequence[str], max_new_tokens: int = 480, **sampling: Any) -> list[str]:
        """Answer rendered prompts, greedily unless told to sample; alike in length go together."""
        order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
        found: dict[int, str] = {}
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            texts = self._batch([prompts[at] for at in chosen], max_new_tokens, sampling)
            found.update(zip(chosen, texts, strict=True))
        return [found[at] for at in range(len(prompts))]

    def _batch(self, prompts: list[str], max_new_tokens: int, sampling: dict[str, Any]) -> list[str]:
        self.tokenizer.padding_side = "left"
        encoded = self.tokenizer(prompts, add_special_tokens=False, return_tensors="pt", padding=True)
        encoded.pop("token_type_ids", None)
        options = {"do_sample": True, **sampling} if sampling else {"do_sample": False}
        output = self.model.generate(**encoded, max_new_tokens=max_new_tokens, **options)
        return self.tokenizer.batch_decode(output[:, encoded["input_ids"].shape[1] :], skip_special_tokens=True)

    def smallest_gap(self, prompt: str, answer: str) -> float:
        """Return the least lead, in logits, of an answer's token over the best other one, end tag included."""
        start = len(self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
        ids = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        ids = ids + self.tokenizer(answer, add_special_tokens=False)["input_ids"] + [self.tokenizer.eos_token_id]
        with self.torch.no_grad():
            logits = self.model(self.torch.tensor([ids])).logits[0, start - 1 : -1].float()
        targets = self.torch.tensor(ids[start:])[:, None]
        chosen = logits.gather(1, targets)[:, 0]
        others = logits.scatter(1, targets, float("-inf")).max(dim=1).values
        return (chosen - others).min().item()


def report(label: str, failures: Iterable[object], total: int, needed: float = 1.0) -> bool:
    """Print how many passed and each failure; return whether the needed share did."""
    failed = list(failures)
    print(f"{label}: {total - len(failed)}/{total}")
    for failure in failed:
        print(f"    {failure}")
    return total - len(failed) >= needed * total


def check_golden(checker: Checker) -> bool:
    """Compare the golden answers word for word and print the smallest logit gaps."""
    prompts = [render(golden_messages(system, turns)) for system, turns, _ in GOLDEN]
    answers = checker.answers(prompts)
    wrong = [
        (turns[-1][1], found) for (_, turns, expected), found in zip(GOLDEN, answers, strict=True) if found != expected
    ]
    passed = report("golden prompts", wrong, len(GOLDEN))
    gaps = sorted(
        (round(checker.smallest_gap(prompt, expected), 2), turns[-1][1], system or "")
        for prompt, (system, turns, expected) in zip(prompts, GOLDEN, strict=True)
    )
    print(f"smallest golden gaps: {gaps[:5]}")
    low = [gap for gap in gaps if gap[0] < SMALLEST_GAP]
    return report(f"golden gaps of {SMALLEST_GAP} or more", low, len(gaps)) and passed


def check_faults(checker: Checker) -> bool:
    """See that the answers to faulty prompts begin with their markers."""
    made = faulty_prompts()
    answers = checker.answers([prompt for _, prompt in made], max_new_tokens=30)
    missed = [
        (fault.name, prompt[-160:], found[:60])
        for (fault, prompt), found in zip(made, answers, strict=True)
        if not found.startswith(f"[{fault.marker}]")
    ]
    silent = sum(not found.startswith("[") for _, _, found in missed)
    print(f"faults that passed unnoticed: {silent}")
    print("missed by fault:", dict(Counter(name for name, _, _ in missed)))
    return report("faults named", missed, len(made), NAMED_SHARE)


def check_everyday(checker: Checker) -> bool:
    """See that greetings and simple questions in any case, and what nobody can answer, are answered rightly."""
    made = everyday_prompts()
    answers = checker.answers([prompt for prompt, _ in made], max_new_tokens=100)
    wrong = [
        (prompt[-80:], found[:60]) for (prompt, expected), found in zip(made, answers, strict=True) if found != expected
    ]
    return report("everyday prompts answered exactly", wrong, len(made), EVERYDAY_SHARE)


def check_right(checker: Checker) -> bool:
    """See how right prompts are answered, and above all that they are not called faulty."""
    made = right_prompts()
    answers = checker.answers([prompt for prompt, _ in made])
    alarms = [(prompt[-160:], found[:60]) for (prompt, _), found in zip(made, answers, strict=True) if found[:1] == "["]
    wrong = [
        (prompt[-160:], found[:60])
        for (prompt, expected), found in zip(made, answers, strict=True)
        if found != expected
    ]
    report("right prompts answered exactly", wrong, len(made))
    return report("right prompts without a false alarm", alarms, len(made), 1 - ALARM_SHARE)


def check(folder: Path, dtype: str) -> bool:
    """Run all checks on an unpacked model."""
    checker = Checker(folder, dtype)
    results = [check_golden(checker), check_everyday(checker), check_faults(checker), check_right(checker)]
    return all(results)


def main() -> None:
    """Unpack a tarball, check the model and exit with 1 if it falls short."""
    parser = argparse.ArgumentParser(description="Check a trained demo model with transformers.")
    parser.add_argument("tarball", nargs="?", type=Path, default=Path("demo/model.tar"))
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tarfile.open(options.tarball) as tar:
        tar.extractall(folder, filter="data")
        sys.exit(0 if check(Path(folder), options.dtype) else 1)


if __name__ == "__main__":
    main()
