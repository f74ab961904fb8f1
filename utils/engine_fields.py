"""The fields of vLLM's AsyncEngineArgs, as a committed list that engine arguments are checked against."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from utils.errors import InvalidEngineArgs, nearest
from utils.masking import shown

ENGINE_FIELDS_FILE = Path(__file__).with_name("engine_fields.json")
_REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "model": "the model is what model_url brings: set model_id and model_url instead",
        "hf_token": "secrets are taken from the environment only: set HF_TOKEN",
    }
)
Where = Callable[[str], str]
"""Names, for a setting such as `engine_args.dtype`, the file and key or the variable that holds it."""

ANYTHING: Mapping[str, Any] = MappingProxyType({"kinds": ("any",), "choices": ()})
"""How a field is described that takes every value."""


@cache
def engine_fields() -> Mapping[str, Any]:
    """The fields of the pinned vLLM's AsyncEngineArgs: name → kinds, choices, default.

    The list is committed, so that a config is checked before vLLM, which takes seconds to
    import, is there; `python -m utils.engine_args utils/engine_fields.json` writes it anew for another version.
    """
    return MappingProxyType(json.loads(ENGINE_FIELDS_FILE.read_text())["fields"])


def check_engine_args(engine_args: Mapping[str, Any], where: Where) -> None:
    """Check names and types against the committed list.

    Raises:
        InvalidEngineArgs: names where the field is set, its value and what it takes.
    """
    fields = engine_fields()
    for name, value in engine_args.items():
        key = where(f"engine_args.{name}")
        if name in _REFUSED:
            raise InvalidEngineArgs(f"{key} is not taken: {_REFUSED[name]}")
        if name not in fields:
            raise InvalidEngineArgs(f"{key} is not a field of vLLM's AsyncEngineArgs: {nearest(str(name), fields)}")
        if not fits(value, fields[name]):
            raise InvalidEngineArgs(f"{key} is {shown(value)}: give {' or '.join(_accepted(fields[name]))}")


_KINDS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (bool, ("boolean",)),
    (int, ("integer", "number")),
    (float, ("number",)),
    (str, ("string",)),
    (list, ("array",)),
    (dict, ("object",)),
    (type(None), ("null",)),
)


def fits(value: object, field: Mapping[str, Any]) -> bool:
    """Whether a field takes `value`."""
    if "any" in field["kinds"]:
        return True
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value in field["choices"]:
        return True
    kinds = next((kinds for kind, kinds in _KINDS if isinstance(value, kind)), ())
    return any(kind in field["kinds"] for kind in kinds)


def _accepted(field: Mapping[str, Any]) -> Iterator[str]:
    names = {"null": "nothing", "array": "a list", "object": "a mapping", "boolean": "true or false"}
    for kind in field["kinds"]:
        yield names.get(kind, f"{'an' if kind[0] in 'ai' else 'a'} {kind}")
    if field["choices"]:
        yield f"one of {', '.join(map(str, field['choices']))}"
