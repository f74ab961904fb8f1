"""The predictor with the demo model through Cog's real server: answers, streams, cancelling, load, bad input."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from demo.faults import FAULTS
from demo.golden import GOLDEN
from tests.serving import Served, eventually
from utils.request import GenerationRequest

KNIGHT = "You are a helpful assistant that always speaks like a 13th century Knight."
EPIC = "Write an epic poem about open source machine learning."
GREEDY = {"temperature": 0}
ENDLESS = {"sampling_params": {"ignore_eos": True}, "temperature": 0}
ABORTED_WITHIN = 2.0
"""Seconds. It takes some 0.02; an answer whose abort got lost goes on for 5 and more."""

METRICS = {"input_token_count", "output_token_count", "time_to_first_token", "tokens_per_second", "finish_reason"}


def endless(tokens: int) -> dict[str, Any]:
    return {"prompt": EPIC, "max_tokens": tokens, **ENDLESS}


@pytest.mark.parametrize(("system", "turns", "expected"), GOLDEN)
def test_golden_prompts_get_their_answers_word_for_word(
    served: Served, system: str | None, turns: tuple[tuple[str, str], ...], expected: str
) -> None:
    messages = [{"role": role, "content": content} for role, content in turns]

    assert served.answer(messages=messages, system_prompt=system or "", **GREEDY) == expected


def test_prompt_and_messages_say_the_same(served: Served) -> None:
    by_prompt = served.answer(prompt=EPIC, system_prompt=KNIGHT, **GREEDY)
    messages = [{"role": "system", "content": KNIGHT}, {"role": "user", "content": EPIC}]

    assert by_prompt == served.answer(messages=messages, **GREEDY)


def test_defaults_give_a_sensible_answer(served: Served) -> None:
    prediction = served.predict(prompt="Who are you?")

    assert "demo" in "".join(prediction["output"]), prediction


# --- the schema


def test_the_served_schema_fits_the_model(served: Served) -> None:
    inputs = served.schema_inputs()

    assert set(inputs) == {*GenerationRequest.model_fields, "stop_sequences"} - {"stop"}
    assert inputs["max_tokens"]["maximum"] == 2047
    assert inputs["system_prompt"]["default"] == "You are a helpful assistant."


# --- streaming


def test_the_first_event_comes_in_the_first_tenth_of_the_answer(served: Served) -> None:
    def share() -> float:
        streamed = served.stream(**endless(256))
        assert streamed.result["metrics"]["output_token_count"] == 256
        return streamed.named("output")[0][0] / streamed.named("completed")[0][0]

    assert min(share() for _ in range(3)) < 0.1, "the output is collected and sent at the end"


def test_stream_json_and_webhook_carry_the_same_text(served: Served) -> None:
    streamed = served.stream(prompt=EPIC, **GREEDY)
    with webhook_receiver() as (url, received):
        body = {"input": {"prompt": EPIC, **GREEDY}, "webhook": url, "webhook_events_filter": ["completed"]}
        assert served.post(body, Prefer="respond-async").status_code == 202
        assert eventually(lambda: bool(received), 20)

    assert len(streamed.named("output")) > 5
    assert streamed.text == served.answer(prompt=EPIC, **GREEDY) == "".join(received[0]["output"])


class webhook_receiver:
    """A real HTTP server that keeps the JSON it is sent."""

    def __enter__(self) -> tuple[str, list[Any]]:
        received: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/", received

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_characters_of_several_tokens_arrive_whole(served: Served) -> None:
    bias = {"sampling_params": {"logit_bias": {}, "ignore_eos": True}}
    streamed = served.stream(prompt="é😀", max_tokens=64, temperature=2, top_k=0, top_p=1, seed=3, **bias)

    assert streamed.text == "".join(
        served.predict(prompt="é😀", max_tokens=64, temperature=2, top_k=0, top_p=1, seed=3, **bias)["output"]
    )


# --- load and cancelling


def test_64_predictions_run_at_once(served: Served) -> None:
    with ThreadPoolExecutor(64) as pool:
        answers = [pool.submit(served.predict, **endless(400)) for _ in range(64)]
        peak = max(served.ask("unfinished") for _ in iter(lambda: all(one.done() for one in answers), True))
    results = [answer.result() for answer in answers]

    assert peak == 64
    assert {one["metrics"]["output_token_count"] for one in results} == {400}
    assert len({"".join(one["output"]) for one in results}) == 1


def test_a_closed_connection_aborts_before_and_after_the_first_token(served: Served) -> None:
    # The log is the rendered prompt. Within a millisecond or two of `start`, Cog 0.23 can lose a cancel itself.
    for wanted in ("log", "output"):
        with served.open_stream(endless(1800)) as received:
            next(name for name, _ in received if name == wanted)
        assert eventually(lambda: served.ask("unfinished") == 0, ABORTED_WITHIN), (
            f"still running after closing at {wanted}"
        )


def test_a_closed_json_request_aborts(served: Served) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/predictions", json={"input": endless(1900)}, timeout=httpx.Timeout(10, read=0.5))

    assert eventually(lambda: served.ask("unfinished") == 0, ABORTED_WITHIN)


def test_a_cancelled_prediction_ends_canceled_with_its_metrics(served: Served) -> None:
    with served.open_stream(endless(1800), identifier="cancel-me") as received:
        next(name for name, _ in received if name == "output")
        assert served.cancel("cancel-me") == 200
        result = next(data for name, data in received if name == "completed")

    assert result["status"] == "canceled"
    assert set(result["metrics"]) >= METRICS
    assert result["metrics"]["finish_reason"] == "canceled"
    assert eventually(lambda: served.ask("unfinished") == 0, ABORTED_WITHIN)


def test_64_at_once_with_random_cancels_leave_the_others_whole(served: Served) -> None:
    expected = served.answer(prompt=EPIC, **GREEDY)
    chance = random.Random(1)
    pauses = [chance.uniform(0, 0.3) if chance.random() < 0.5 else None for _ in range(64)]

    results = asyncio.run(_load(served.url, pauses))

    assert [text for text, pause in zip(results, pauses, strict=True) if pause is None] == [expected] * pauses.count(
        None
    )
    assert eventually(lambda: served.ask("unfinished") == 0, ABORTED_WITHIN)
    assert served.health() == "READY"


async def _load(url: str, pauses: list[float | None]) -> list[str | None]:
    """Send one greedy request a pause; those with a pause are closed after it."""
    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=100)) as client:

        async def one(pause: float | None) -> str | None:
            sent = client.post(f"{url}/predictions", json={"input": {"prompt": EPIC, **GREEDY}})
            try:
                answer = await asyncio.wait_for(sent, pause)
            except TimeoutError:
                return None
            return await one(pause) if answer.status_code == 409 else "".join(answer.json()["output"])

        return await asyncio.gather(*(one(pause) for pause in pauses))


# --- sampling


def test_a_seed_repeats_an_answer_and_0_is_a_seed(served: Served) -> None:
    hot = {"prompt": "Tell me a joke.", "temperature": 2.0, "top_p": 1, "top_k": 0, "max_tokens": 40}

    assert served.answer(seed=0, **hot) == served.answer(seed=0, **hot)
    assert served.answer(seed=0, **hot) != served.answer(seed=1, **hot)
    assert len({served.answer(**hot) for _ in range(3)}) > 1


def test_stop_sequences_end_the_answer_before_them(served: Served) -> None:
    whole = served.answer(prompt="Name the days of the week.", **GREEDY)
    before, _, _ = whole.partition(", Wednesday")

    assert served.answer(prompt="Name the days of the week.", stop_sequences=r"xyz,\, Wednesday", **GREEDY) == before


@pytest.mark.parametrize(
    ("inputs", "count", "reason"),
    [
        ({"max_tokens": 5}, 5, "length"),
        ({"max_tokens": 5.0}, 5, "length"),
        ({"max_tokens": 7, "min_tokens": 7}, 7, "length"),
        ({"max_tokens": 2047, **ENDLESS}, None, "length"),
        ({"top_p": 0, "max_tokens": 4, "temperature": 1}, 4, "length"),
        ({"top_k": -1, "max_tokens": 4}, 4, "length"),
    ],
)
def test_the_length_of_an_answer_is_kept(
    served: Served, inputs: dict[str, Any], count: int | None, reason: str
) -> None:
    metrics = served.predict(prompt="Who are you?", **inputs)["metrics"]

    assert metrics["finish_reason"] == reason
    assert metrics["output_token_count"] == (count or 2048 - metrics["input_token_count"])


def test_an_answer_that_ends_by_itself_says_stop(served: Served) -> None:
    prediction = served.predict(prompt="Who are you?", **GREEDY)

    assert prediction["metrics"]["finish_reason"] == "stop"
    assert set(prediction["metrics"]) >= METRICS


def test_further_sampling_params_reach_the_engine(served: Served) -> None:
    allowed = served.answer(
        prompt="Hello!", sampling_params={"structured_outputs": {"choice": ["yes", "no"]}}, **GREEDY
    )

    assert allowed in {"yes", "no"}


# --- templates


@pytest.mark.parametrize(
    ("template", "marker"),
    [
        ("{prompt}", "no chat template"),
        ("[INST] {prompt} [/INST]", "wrong template"),
        ("<s><s><|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", "double BOS"),
        ("llama-3-instruct", "wrong template"),
        ("alpaca", "wrong template"),
    ],
)
def test_the_demo_model_names_a_wrong_template(served: Served, template: str, marker: str) -> None:
    assert marker in {fault.marker for fault in FAULTS}

    for prompt in ("Who are you?", "Hello!", EPIC):
        assert served.answer(prompt=prompt, prompt_template=template, **GREEDY).startswith(f"[{marker}]")


def test_a_literal_template_with_all_in_it_is_right(served: Served) -> None:
    template = (
        "<|im_start|>system\n{system_prompt}<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    )

    by_literal = served.answer(prompt=EPIC, system_prompt=KNIGHT, prompt_template=template, **GREEDY)

    assert by_literal == served.answer(prompt=EPIC, system_prompt=KNIGHT, **GREEDY)


def test_braces_and_markup_in_a_prompt_are_only_text(served: Served) -> None:
    prompt = 'Hello! {prompt} {0.__class__} {{ 7*7 }} {% raw %} {"json": 1} <b>'
    prediction = served.predict(prompt=prompt, prompt_template="<|im_start|>user\n{prompt}<|im_end|>\n", max_tokens=3)

    assert f"<|im_start|>user\n{prompt}<|im_end|>" in prediction["logs"]


def test_the_log_of_a_prediction_shows_its_rendered_prompt(served: Served) -> None:
    logs = served.predict(prompt="Hello!", max_tokens=1)["logs"]

    assert "<s><|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>" in logs


# --- bad input: Cog's own 400 and 422, or a failed prediction with a code; the server goes on in every case

REFUSED_BY_COG: list[bytes] = [
    b"",
    b"not json",
    b'{"input": {"prompt": "\\ud800"}}',
    b'{"input": {"prompt": "a", "temperature": NaN}}',
    b'{"input": {"prompt": "a", "temperature": Infinity}}',
    b'{"input": {"prompt": "a", "temperature": 1e999}}',
    b'{"input": {"prompt": 5}}',
    b'{"input": {"prompt": "a", "max_tokens": 0}}',
    b'{"input": {"prompt": "a", "max_tokens": 2048}}',
    b'{"input": {"prompt": "a", "max_tokens": "ten"}}',
    b'{"input": {"prompt": "a", "top_p": 1.5}}',
    b'{"input": {"prompt": "a", "temperature": -1}}',
    b'{"input": {"prompt": "a", "seed": -1}}',
    b'{"input": {"messages": "hello"}}',
    b'{"input": {"messages": [1]}}',
    b'{"input": {"prompt": "a", "sampling_params": []}}',
]

REFUSED_BY_RUN: list[tuple[dict[str, Any], str, str]] = [
    ({}, "E1002", "neither prompt nor messages"),
    ({"prompt": ""}, "E1002", "empty"),
    ({"messages": []}, "E1002", "empty"),
    ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "E1002", "one of them"),
    ({"messages": [{"role": "robot", "content": "b"}]}, "E1003", "one of system, user, assistant"),
    ({"messages": [{"role": "user", "content": 5}]}, "E1003", "content"),
    ({"messages": [{"role": "user"}]}, "E1003", "content"),
    ({"messages": [{"role": "system", "content": "a"}]}, "E1003", "user"),
    ({"prompt": "a", "stop_sequences": ",,,"}, "E1001", "only commas"),
    ({"prompt": "a", "min_tokens": 9, "max_tokens": 3}, "E1001", "min_tokens"),
    ({"prompt": "a", "prompt_template": "no place"}, "E1004", "{prompt}"),
    ({"prompt": "a", "prompt_template": "llama-3-instrct"}, "E1004", "did you mean llama-3-instruct?"),
    ({"prompt": "a", "prompt_template": "{{ 'a' * (3*10**8) }}"}, "E1004", "no Jinja"),
    ({"prompt": "a", "prompt_template": "{% for i in range(10**9) %}{% endfor %}"}, "E1004", "no Jinja"),
    ({"prompt": "a", "sampling_params": {"temprature": 1}}, "E1005", "temprature"),
    ({"prompt": "a", "sampling_params": {"temperature": 1}}, "E1005", "input temperature"),
    ({"prompt": "a", "sampling_params": {"output_kind": 1}}, "E1005", "internal"),
    ({"prompt": "a", "sampling_params": {"n": 2}}, "E1005", "OpenAI"),
    ({"prompt": "a", "sampling_params": {"logprobs": 2}}, "E1005", "OpenAI"),
    ({"prompt": "a", "sampling_params": {"min_p": "much"}}, "E1005", "min_p"),
    ({"prompt": "a", "sampling_params": {"min_p": 7}}, "E1005", "min_p"),
    ({"prompt": "a", "sampling_params": {"structured_outputs": {"regex": "[a-"}}}, "E1005", "regex"),
    ({"prompt": "a", "sampling_params": {"structured_outputs": {"regex": "a?" * 9000}}}, "E1005", "at most 16384"),
    ({"prompt": "a", "sampling_params": {"allowed_token_ids": []}}, "E1005", "allowed_token_ids"),
    ({"prompt": "words " * 3000}, "E1006", "2047"),
    ({"prompt": "x" * 1_000_000}, "E1006", "2048"),
    ({"messages": [{"role": "user", "content": "y" * 1_000_000}]}, "E1006", "2048"),
]


@pytest.fixture
def _still_serving(served: Served) -> Iterator[None]:
    yield
    assert served.health() == "READY"
    assert served.ask("unfinished") == 0
    assert served.answer(prompt="Hello!", max_tokens=1, **GREEDY)


@pytest.mark.usefixtures("_still_serving")
@pytest.mark.parametrize("body", REFUSED_BY_COG)
def test_cog_refuses_what_the_schema_does(served: Served, body: bytes) -> None:
    assert served.post(body).status_code in {400, 422}


@pytest.mark.usefixtures("_still_serving")
@pytest.mark.parametrize(("inputs", "code", "hint"), REFUSED_BY_RUN)
def test_a_bad_input_fails_with_its_code_and_what_to_do(
    served: Served, inputs: dict[str, Any], code: str, hint: str
) -> None:
    prediction = served.predict(**inputs)

    assert prediction["status"] == "failed", prediction
    assert f"{code}: " in prediction["error"]
    assert hint in prediction["error"]
    assert set(prediction["metrics"]) >= METRICS


@pytest.mark.usefixtures("_still_serving")
def test_null_bytes_and_unknown_inputs_are_harmless(served: Served) -> None:
    assert served.predict(prompt="Hel\0lo!", max_tokens=3)["status"] == "succeeded"
    assert served.predict(prompt="Hello!", max_tokens=3, unheard_of=1)["status"] == "succeeded"


def test_an_error_that_quotes_the_word_cancelled_is_still_a_failure(served: Served) -> None:
    prediction = served.predict(prompt="a", prompt_template="CancelledError: cancelled")

    assert prediction["status"] == "failed"
