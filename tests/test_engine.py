"""What vLLM's own classes say to engine arguments and sampling parameters; vLLM is imported, nothing is booted."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from utils import engine, engine_args
from utils.engine_fields import ENGINE_FIELDS_FILE
from utils.errors import InvalidEngineArgs, InvalidSamplingParams
from utils.request import GenerationRequest
from utils.sampling import Ending, sampling_params

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def _vllm() -> Iterator[None]:
    before = dict(os.environ)
    engine_args.prepare_environment(lambda line: None)
    engine_args.import_vllm()
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_committed_list_of_engine_fields_is_that_of_the_pinned_vllm() -> None:
    committed = json.loads(ENGINE_FIELDS_FILE.read_text())["fields"]
    real = json.loads(json.dumps(engine_args.describe_engine_fields()))

    changed = {name for name in committed.keys() | real.keys() if committed.get(name) != real.get(name)}
    assert not changed, (
        f"run `python -m utils.engine_args utils/engine_fields.json` and read the difference: {sorted(changed)}"
    )


@pytest.mark.parametrize(
    "given",
    [
        {"max_model_len": 128, "dtype": "bfloat16", "enforce_eager": True},
        {"gpu_memory_utilization": 1, "quantization": None},
        {"compilation_config": {"cudagraph_capture_sizes": [1, 2]}, "limit_mm_per_prompt": {"image": 1}},
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}},
    ],
)
def test_arguments_that_vllm_takes_pass(given: dict[str, Any]) -> None:
    engine_args.check_against_vllm(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_model_length": 128}, "did you mean max_model_len"),
        ({"max_model_len": "long"}, "valid integer"),
        ({"dtype": "float12"}, "'auto'"),
        ({"compilation_config": {"levl": 3}}, "levl"),
    ],
)
def test_arguments_that_vllm_refuses_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEngineArgs, match=message):
        engine_args.check_against_vllm(given)


def built(further: dict[str, Any], **inputs: Any) -> Any:
    request = GenerationRequest.from_inputs({"prompt": "a", "sampling_params": further, **inputs})
    return sampling_params(request, Ending(max_tokens=9, stop=("STOP",), stop_token_ids=(7,)))


def test_all_inputs_reach_vllm() -> None:
    params = built(
        {"repetition_penalty": 1.2},
        min_tokens=2,
        temperature=0.5,
        top_p=0.8,
        top_k=3,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        seed=0,
        stop_sequences="x,y",
    )

    wanted = {
        "max_tokens": 9,
        "min_tokens": 2,
        "temperature": 0.5,
        "top_p": 0.8,
        "top_k": 3,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "seed": 0,
        "stop": ["x", "y", "STOP"],
        "stop_token_ids": [7],
        "repetition_penalty": 1.2,
    }
    assert {name: getattr(params, name) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"stop_token_ids": [5.0]}, "stop_token_ids", [5, 7]),
        ({"logit_bias": {"5": 1}}, "logit_bias", {5: 1.0}),
        ({"ignore_eos": True}, "stop_token_ids", []),
        ({"ignore_eos": True}, "stop", []),
        ({"min_p": 0}, "min_p", 0.0),
        ({"min_p": None, "n": None}, "min_p", 0.0),
        ({"structured_outputs": {"choice": ["a", "b"]}}, "n", 1),
        ({"bad_words": ["no"]}, "bad_words", ["no"]),
    ],
)
def test_further_fields_are_taken_as_vllm_declares_them(given: dict[str, Any], field: str, value: object) -> None:
    assert getattr(built(given), field) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temprature": 1}, "no field 'temprature'"),
        ({"min_tokenz": 1}, "did you mean min_tokens"),
        ({"ignore_eos": 1}, "valid boolean"),
        ({"ignore_eos": "true"}, "valid boolean"),
        ({"min_p": "0.1"}, "valid number"),
        ({"min_p": 3}, "min_p"),
        ({"repetition_penalty": -1}, "repetition_penalty"),
        ({"stop_token_ids": ["a"]}, "valid integer"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"structured_outputs": {"regexp": "a"}}, "structured_outputs"),
        ({"structured_outputs": {}}, "structured_outputs"),
        ({"structured_outputs": {"choice": ["x" * 20_000]}}, "at most 16384"),
    ],
)
def test_further_fields_that_vllm_refuses_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSamplingParams, match=message):
        built(given)


def test_what_the_user_set_in_the_environment_stays() -> None:
    os.environ["VLLM_CPU_KVCACHE_SPACE"] = "3"
    reported: list[str] = []
    engine_args.prepare_environment(reported.append)

    assert os.environ["VLLM_CPU_KVCACHE_SPACE"] == "3"
    assert not engine_args.runs_on_cpu() or "VLLM_CPU_KVCACHE_SPACE=3" in reported[0]


class HandingOver:
    """An AsyncLLM that is still handing a request over to the engine's process, and never gets done with it."""

    errored = False

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.aborted: list[str] = []

    async def generate(self, *given: Any) -> AsyncIterator[Any]:
        self.reached.set()
        await asyncio.Event().wait()
        yield

    async def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)


def test_a_request_that_is_cancelled_while_it_is_handed_over_is_aborted() -> None:
    async def cancelled() -> list[str]:
        llm = HandingOver()
        stream = engine.Engine(llm).stream([1], GenerationRequest.from_inputs({"prompt": "a"}), Ending(9), "mine")
        task = asyncio.ensure_future(anext(stream))
        await llm.reached.wait()
        task.cancel()
        await asyncio.wait([task])
        return llm.aborted

    assert asyncio.run(cancelled()) == ["mine"]
