"""Service around a small engine: what is measured, what is cut, what is cancelled, what fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.word_engine import WordEngine
from utils.config import Config
from utils.errors import EngineDead, InvalidPrompt, PromptTooLong
from utils.prompts import Tokenizer
from utils.service import Measurements, Service

CONFIG = {"model_id": "me/my-model", "prompt_template": "{prompt}"}


def make(
    tokenizer: Tokenizer, engine: dict[str, Any] | None = None, **config: Any
) -> tuple[Service, WordEngine, list[str]]:
    small = WordEngine(tokenizer, **(engine or {}))
    reported: list[str] = []
    return Service(Config(**{**CONFIG, **config}), small, reported.append), small, reported


async def collect(pieces: AsyncIterator[str]) -> str:
    return "".join([piece async for piece in pieces])


def test_an_answer_is_measured(demo_tokenizer: Tokenizer) -> None:
    service, engine, _ = make(demo_tokenizer)
    measured = Measurements()

    text = asyncio.run(collect(service.stream({"prompt": "Hello!", "max_tokens": 7}, measured)))

    assert len(text.split()) == 7
    metrics = measured.metrics()
    assert metrics["input_token_count"] == len(engine.seen[0])
    assert metrics["output_token_count"] == 7
    assert metrics["finish_reason"] == "length"
    assert 0 < measured.time_to_first_token <= measured.seconds
    assert metrics["tokens_per_second"] == round(7 / measured.seconds, 2)


def test_max_tokens_is_cut_to_what_fits_the_model(demo_tokenizer: Tokenizer) -> None:
    service, _, _ = make(demo_tokenizer, {"max_model_len": 30})
    measured = Measurements()

    asyncio.run(collect(service.stream({"prompt": "Hello!", "max_tokens": 500}, measured)))

    assert measured.input_token_count + measured.output_token_count == 30
    assert measured.finish_reason == "length"


def test_the_longest_prompt_leaves_room_for_one_token(demo_tokenizer: Tokenizer) -> None:
    length = len(demo_tokenizer.encode("Hello!", add_special_tokens=True))
    fits, _, _ = make(demo_tokenizer, {"max_model_len": length + 1})
    too_long, _, _ = make(demo_tokenizer, {"max_model_len": length})

    assert asyncio.run(collect(fits.stream({"prompt": "Hello!"}, Measurements()))).split()
    with pytest.raises(PromptTooLong, match=rf"{length} tokens .* {length} "):
        asyncio.run(collect(too_long.stream({"prompt": "Hello!"}, Measurements())))


def test_a_refused_request_is_measured_too(demo_tokenizer: Tokenizer) -> None:
    service, _, _ = make(demo_tokenizer)
    measured = Measurements()

    with pytest.raises(InvalidPrompt):
        asyncio.run(collect(service.stream({}, measured)))

    assert measured.metrics() == {
        "input_token_count": 0,
        "output_token_count": 0,
        "time_to_first_token": 0.0,
        "tokens_per_second": 0.0,
        "finish_reason": "error",
    }


async def _cancelled(service: Service, engine: WordEngine, measured: Measurements) -> None:
    task = asyncio.ensure_future(collect(service.stream({"prompt": "Hello!"}, measured)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert engine.open
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("hold_after", [0, 3], ids=["before the first token", "in the middle"])
def test_cancelling_leaves_nothing_open_in_the_engine(demo_tokenizer: Tokenizer, hold_after: int) -> None:
    service, engine, _ = make(demo_tokenizer, {"hold_after": hold_after})
    measured = Measurements()

    asyncio.run(_cancelled(service, engine, measured))

    assert not engine.open
    assert measured.output_token_count == hold_after
    assert measured.finish_reason == "canceled"


def test_a_dead_engine_fails_at_once_and_shows(demo_tokenizer: Tokenizer) -> None:
    service, engine, _ = make(demo_tokenizer)
    engine.errored = True

    assert not service.healthy
    with pytest.raises(EngineDead, match="restart"):
        asyncio.run(collect(service.stream({"prompt": "Hello!"}, Measurements())))


def test_a_long_prompt_does_not_hold_up_open_streams(demo_tokenizer: Tokenizer) -> None:
    service, _, _ = make(demo_tokenizer, {"max_model_len": 10**7})

    async def turns_of_the_loop_while(prompt: str) -> int:
        turns = 0
        task = asyncio.ensure_future(collect(service.stream({"prompt": prompt, "max_tokens": 1}, Measurements())))
        while not task.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert asyncio.run(turns_of_the_loop_while("some words " * 100_000)) > 20


@pytest.mark.parametrize(("log_prompts", "check"), [(True, any), (False, lambda found: not any(found))])
def test_the_rendered_prompt_is_logged_unless_turned_off(
    demo_tokenizer: Tokenizer, log_prompts: bool, check: Callable[[list[bool]], bool]
) -> None:
    service, _, reported = make(demo_tokenizer, log_prompts=log_prompts)

    asyncio.run(collect(service.stream({"prompt": "Hello!", "max_tokens": 1}, Measurements())))

    assert check(["Hello!" in line for line in reported])


def test_stopping_the_service_stops_the_engine(demo_tokenizer: Tokenizer) -> None:
    service, engine, _ = make(demo_tokenizer)
    service.stop()

    assert engine.stopped
