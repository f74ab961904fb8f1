"""vLLM's AsyncLLM behind a small face: start, stream deltas, health, stop.

It and its neighbours engine_args and sampling alone import vLLM, and only once an engine is
wanted: the import takes seconds and reads the environment.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.engine_args import engine_args_for
from utils.errors import EngineDead, EngineRefused, EngineStartFailed, InvalidSamplingParams, reason
from utils.request import GenerationRequest
from utils.sampling import Ending, sampling_params

START_METHOD = "VLLM_WORKER_MULTIPROC_METHOD"
"""The variable by which vLLM starts its processes: fork or spawn."""


@dataclass(frozen=True)
class Delta:
    """What one step of the engine added to an answer.

    `text` may be empty where a character needs further tokens; `token_count` is the number
    of tokens of this step; `finish_reason` is None until the last delta.
    """

    text: str
    token_count: int
    finish_reason: str | None


class Engine:
    """One running AsyncLLM; made by `start`."""

    def __init__(self, llm: Any) -> None:
        self._llm = llm

    @classmethod
    async def start(cls, model: Path, engine_args: Mapping[str, Any]) -> "Engine":
        """Start the engine on the model in the folder `model`.

        Raises:
            InvalidEngineArgs: vLLM's own class refuses a field.
            EngineStartFailed: the model cannot be loaded or the machine cannot run it.
        """
        args = engine_args_for(model, engine_args)
        chosen_by_user = START_METHOD in os.environ
        try:
            config = args.create_engine_config()
            with _start_method("fork" if _can_fork(config) and not chosen_by_user else None):
                from vllm import AsyncLLMEngine

                llm = AsyncLLMEngine.from_vllm_config(
                    config,
                    disable_log_stats=args.disable_log_stats,
                    enable_log_requests=args.enable_log_requests,
                )
        except Exception as exc:
            raise EngineStartFailed(f"vLLM could not start on {model}: {reason(exc)}") from exc
        return cls(llm)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer that vLLM uses for this model."""
        return self._llm.get_tokenizer()

    @property
    def max_model_len(self) -> int:
        """Tokens of prompt and answer together that the model takes."""
        return self._llm.model_config.max_model_len

    @property
    def architecture(self) -> str | None:
        """The first architecture that the model's config.json names."""
        return next(iter(self._llm.model_config.architectures or ()), None)

    @property
    def errored(self) -> bool:
        """Whether the engine has stopped for good."""
        return self._llm.errored

    @property
    def unfinished_requests(self) -> int:
        """Requests that are waiting or running."""
        return self._llm.get_num_unfinished_requests()

    async def stream(
        self, token_ids: list[int], request: GenerationRequest, ending: Ending, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """Answer a tokenized prompt; cancelling or closing the iterator aborts the request.

        Raises:
            InvalidSamplingParams: vLLM refuses one of `request`'s further sampling parameters.
            EngineDead: the engine has stopped, before or during the answer.
            EngineRefused: vLLM refuses this request.
        """
        from vllm.exceptions import VLLMClientError
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        outputs = self._llm.generate(tokens_input(token_ids), sampling_params(request, ending), request_id)
        try:
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    completion = output.outputs[0]
                    yield Delta(completion.text, len(completion.token_ids), completion.finish_reason)
        except (asyncio.CancelledError, GeneratorExit):
            # vLLM aborts by itself, but for a request that is cancelled while it is handed over to the
            # engine's process: that one stays open for ever.
            await self._llm.abort(request_id)
            raise
        except EngineDeadError as exc:
            raise EngineDead("the engine has stopped; restart the server and look for the cause in its log") from exc
        except Exception as exc:
            if self.errored:
                raise EngineDead("the engine has stopped; restart the server") from exc
            if isinstance(exc, VLLMClientError) and request.sampling_params:
                raise InvalidSamplingParams(f"vLLM refuses the sampling parameters: {reason(exc)}") from exc
            raise EngineRefused(f"vLLM refused the request: {reason(exc)}") from exc

    def stop(self) -> None:
        """End the engine and its processes."""
        self._llm.shutdown()


@contextlib.contextmanager
def _start_method(method: str | None) -> Iterator[None]:
    """Have vLLM start its processes by `method` for a while; None leaves what it chose itself."""
    before = os.environ.get(START_METHOD)
    if method is not None:
        os.environ[START_METHOD] = method
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(START_METHOD, None)
        else:
            os.environ[START_METHOD] = before


def _can_fork(config: Any) -> bool:
    """Whether the engine's process can be a fork of this one, which saves it a second import of vLLM (14 of 15 s).

    While it builds its config, vLLM asks for `spawn` on the CPU. A fork is safe there while
    nothing has run torch in parallel in this process, which holds at start-up, but not inside
    a Ray worker.
    """
    ray = sys.modules.get("ray")
    in_ray = ray is not None and ray.is_initialized()
    return config.device_config.device_type == "cpu" and not in_ray
