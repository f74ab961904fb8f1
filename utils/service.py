"""The served model: config → weights → engine once, then a stream of text for each request."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from utils import engine_args, weights
from utils.config import Config
from utils.engine import Delta, Engine
from utils.errors import EngineDead, EngineStartFailed
from utils.prompts import ModelTraits, Prompt, Prompts, Tokenizer
from utils.request import GenerationRequest
from utils.sampling import Ending
from utils.schema import ModelLimits

Report = Callable[[str], None]

LONG_PROMPT = 20_000
"""Characters from which rendering and tokenizing leave the event loop, so that open streams go on."""


class EngineLike(Protocol):
    """What the service needs of an engine; `utils.engine.Engine` is the real one and documents each member."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer."""

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def architecture(self) -> str | None:
        """The model's architecture by its config.json."""

    @property
    def errored(self) -> bool:
        """Whether the engine has stopped for good."""

    @property
    def unfinished_requests(self) -> int:
        """Requests that wait or run."""

    def stream(
        self, token_ids: list[int], request: GenerationRequest, ending: Ending, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """Answer a tokenized prompt."""

    def stop(self) -> None:
        """End the engine."""


@dataclass
class Measurements:
    """What happened during one answer; times in seconds, counts in tokens."""

    input_token_count: int = 0
    output_token_count: int = 0
    time_to_first_token: float = 0.0
    seconds: float = 0.0
    finish_reason: str = "error"

    def add(self, delta: Delta, seconds: float) -> None:
        """Count what came `seconds` after the start."""
        if delta.token_count and not self.output_token_count:
            self.time_to_first_token = seconds
        self.output_token_count += delta.token_count
        self.finish_reason = delta.finish_reason or self.finish_reason

    def metrics(self) -> dict[str, int | float | str]:
        """Return the figures by the names that Replicate shows; a time is 0 where no token came."""
        rate = self.output_token_count / self.seconds if self.seconds else 0.0
        return {
            "input_token_count": self.input_token_count,
            "output_token_count": self.output_token_count,
            "time_to_first_token": round(self.time_to_first_token, 4),
            "tokens_per_second": round(rate, 2),
            "finish_reason": self.finish_reason,
        }


class Service:
    """One model, ready to answer; made by `start`, or around an engine that runs already."""

    def __init__(self, config: Config, engine: EngineLike, report: Report = print) -> None:
        """Choose the prompt template for `engine`'s model.

        Raises:
            InvalidChatTemplate: no usable template where one is wanted.
        """
        self._engine = engine
        self._report = report
        self._log_prompts = config.log_prompts
        self._prompts = Prompts(
            ModelTraits(config.model_id, engine.architecture, config.is_instruct, config.prompt_template),
            engine.tokenizer,
            max_model_len=engine.max_model_len,
            system_prompt=config.system_prompt,
        )
        report(f"chat template: {self._prompts.choice.origin}")

    @classmethod
    async def start(cls, config: Config, *, source: str | None = None, report: Report = print) -> "Service":
        """Bring the weights, start the engine and generate once, so that what is returned can answer.

        `source` wins over the config's. Each phase is reported with its seconds.

        Raises:
            WeightsError, EngineError, InvalidEngineArgs, InvalidChatTemplate: what stood in the way.
        """
        engine_args.prepare_environment(report)
        bringing = _brought(source or config.weights_source, config.cache_folder, report)
        folder, _ = await asyncio.gather(
            _timed("weights", bringing, report),
            _timed("import", asyncio.to_thread(engine_args.import_vllm), report),
        )
        engine = await _timed("engine", Engine.start(folder, config.engine_args), report)
        try:
            service = cls(config, engine, report)
            await _timed("first token", service.generate_once(), report)
        except BaseException:
            engine.stop()
            raise
        return service

    @property
    def healthy(self) -> bool:
        """Whether the engine can answer."""
        return not self._engine.errored

    @property
    def limits(self) -> ModelLimits:
        """What of the loaded model shows in the schema."""
        return ModelLimits(
            max_model_len=self._engine.max_model_len,
            takes_system_prompt=self._prompts.is_instruct,
            takes_messages=self._prompts.takes_messages,
            system_prompt=self._prompts.default_system_prompt,
        )

    @property
    def unfinished_requests(self) -> int:
        """Requests that wait or run in the engine."""
        return self._engine.unfinished_requests

    async def generate_once(self) -> None:
        """Generate one token from the smallest prompt.

        Raises:
            EngineStartFailed: no token came.
        """
        token_ids = self._engine.tokenizer.encode("a", add_special_tokens=True)
        request = GenerationRequest.from_inputs({"prompt": "a", "temperature": 0})
        stream = self._engine.stream(token_ids, request, Ending(max_tokens=1), _request_id())
        count = sum([delta.token_count async for delta in stream])
        if count < 1:
            raise EngineStartFailed("the engine started but generated nothing: see its log")

    async def stream(self, inputs: Mapping[str, Any], measured: Measurements) -> AsyncIterator[str]:
        """Check `inputs`, render the prompt and yield the answer's text as it comes.

        `measured` is filled on the way, also when the answer fails or is cancelled. Closing or
        cancelling the iterator aborts the request in the engine.

        Raises:
            InputError: the inputs cannot be served.
            EngineError: the engine refused the request or has stopped.
        """
        started = time.perf_counter()
        try:
            request = GenerationRequest.from_inputs(inputs)
            if not self.healthy:
                raise EngineDead("the engine has stopped; restart the server and look for the cause in its log")
            prompt = await self._rendered(request)
            measured.input_token_count = len(prompt.token_ids)
            ending = Ending(self._engine.max_model_len - len(prompt.token_ids), prompt.stop, prompt.stop_token_ids)
            deltas = self._engine.stream(prompt.token_ids, request, ending, _request_id())
            async with contextlib.aclosing(deltas):
                async for delta in deltas:
                    measured.add(delta, time.perf_counter() - started)
                    if delta.text:
                        yield delta.text
        except (asyncio.CancelledError, GeneratorExit):
            measured.finish_reason = "canceled"
            raise
        finally:
            measured.seconds = time.perf_counter() - started

    async def _rendered(self, request: GenerationRequest) -> Prompt:
        length = len(request.prompt or "") + sum(len(message.content) + 100 for message in request.messages or ())
        if length < LONG_PROMPT:
            prompt = self._prompts.render(request)
        else:
            prompt = await asyncio.to_thread(self._prompts.render, request)
        if self._log_prompts:
            self._report(f"prompt ({len(prompt.token_ids)} tokens): {prompt.text}")
        return prompt

    def stop(self) -> None:
        """End the engine."""
        self._engine.stop()


async def _brought(source: str, cache: Path, report: Report) -> Path:
    folder = await weights.fetch(source, cache, report)
    await asyncio.to_thread(weights.check_model_files, folder)
    return folder


async def _timed(phase: str, work: Awaitable[Any], report: Report) -> Any:
    started = time.perf_counter()
    result = await work
    report(f"{phase}: {time.perf_counter() - started:.1f} s")
    return result


def _request_id() -> str:
    return uuid.uuid4().hex
