"""vLLM's AsyncLLM behind a small face: start, stream deltas, health, stop.

It and its neighbours engine_args and sampling alone import vLLM, and only once an engine is
wanted: the import takes seconds and reads the environment.
"""

import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.engine_args import engine_args_for
from utils.errors import EngineDead, EngineRefused, EngineStartFailed, reason
from utils.request import GenerationRequest
from utils.sampling import Ending, sampling_params


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
        try:
            config = args.create_engine_config()
            with _forked_workers(config):
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
    ) -> AsyncIterator[Delta]:
        """Answer a tokenized prompt; cancelling or closing the iterator aborts the request.

        Raises:
            InvalidSamplingParams: vLLM refuses one of `request`'s further sampling parameters.
            EngineDead: the engine has stopped, before or during the answer.
            EngineRefused: vLLM refuses this request.
        """
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        outputs = self._llm.generate(tokens_input(token_ids), sampling_params(request, ending), request_id)
        try:
            async with contextlib.aclosing(outputs):
                async for output in outputs:
                    completion = output.outputs[0]
                    yield Delta(completion.text, len(completion.token_ids), completion.finish_reason)
        except EngineDeadError as exc:
            raise EngineDead("the engine has stopped; restart the server and look for the cause in its log") from exc
        except Exception as exc:
            if self.errored:
                raise EngineDead("the engine has stopped; restart the server") from exc
            raise EngineRefused(f"vLLM refused the request: {reason(exc)}") from exc

    def stop(self) -> None:
        """End the engine and its processes."""
        self._llm.shutdown()


@contextlib.contextmanager
def _forked_workers(config: Any) -> Iterator[None]:
    """Let the engine's process be forked on the CPU, which saves it a second import of vLLM (14 of 15 s).

    vLLM asks for `spawn` on the CPU while it builds its config. A fork is safe while nothing
    has run torch in parallel in this process, which holds at start-up, but not inside a Ray
    worker. Whoever sets the variable keeps what was set.
    """
    variable = "VLLM_WORKER_MULTIPROC_METHOD"
    before = os.environ.get(variable)
    forkable = config.device_config.device_type == "cpu" and not _in_ray_worker()
    if forkable and before in {None, "spawn"}:
        os.environ[variable] = "fork"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = before


def _in_ray_worker() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
