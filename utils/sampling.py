"""vLLM's SamplingParams for one request."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils.errors import EngineRefused, InvalidSamplingParams, nearest, reason
from utils.masking import shown
from utils.request import GenerationRequest

LARGEST_CONSTRAINT = 16_384
"""Characters of JSON in `structured_outputs`. vLLM compiles a constraint in one thread, in a time that grows with the
square of its size, and nothing ends that: one of 500 kB keeps all later ones waiting for many minutes."""

_SMALLEST_TOP_P = 1e-9
"""vLLM takes no top_p of 0; this one keeps the likeliest token alone, which is what 0 asks for."""


@dataclass(frozen=True)
class Ending:
    """What ends an answer beside the request's own wishes: the room in the model, in tokens, and the chat template."""

    max_tokens: int
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()


def sampling_params(request: GenerationRequest, ending: Ending) -> Any:
    """Build vLLM's SamplingParams.

    Raises:
        InvalidSamplingParams: vLLM refuses a field of `sampling_params`, or its value.
        EngineRefused: vLLM refuses another value.
    """
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    further = _checked(request.sampling_params)
    max_tokens = min(request.max_tokens, ending.max_tokens)
    template_stop, template_stop_ids = ((), ()) if request.ignores_end_of_turn else (ending.stop, ending.stop_token_ids)
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
            stop=[*request.stop, *template_stop],
            stop_token_ids=[*own_stop_ids, *template_stop_ids],
            output_kind=RequestOutputKind.DELTA,
            **further,
        )
    except (ValueError, TypeError, _vllm_client_error()) as exc:
        kind = InvalidSamplingParams if further else EngineRefused
        raise kind(f"vLLM refuses the sampling parameters: {reason(exc)}") from exc


def _checked(params: Mapping[str, Any]) -> dict[str, Any]:
    """Check names and types of the caller's further fields with vLLM's own declarations."""
    import msgspec
    from pydantic import TypeAdapter
    from vllm import SamplingParams

    known = {field.name: field.type for field in msgspec.structs.fields(SamplingParams)}
    checked = {}
    for name, value in params.items():
        if name not in known:
            raise InvalidSamplingParams(f"sampling_params has no field {shown(name, 80)}: {nearest(name, known)}")
        if value is None:
            continue
        text = json.dumps(_integral(value))
        if name == "structured_outputs" and len(text) > LARGEST_CONSTRAINT:
            raise InvalidSamplingParams(
                f"sampling_params.structured_outputs has {len(text)} characters: give at most {LARGEST_CONSTRAINT}"
            )
        try:
            checked[name] = TypeAdapter(known[name]).validate_json(text, strict=True)
        except (ValueError, TypeError, _vllm_client_error()) as exc:
            raise InvalidSamplingParams(f"sampling_params.{name} is {shown(value, 80)}: {reason(exc)}") from exc
    return checked


def _integral(value: Any) -> Any:
    """Take 5.0 as 5 at every depth, as JSON does not tell them apart; a field for floats takes 5 as well."""
    if isinstance(value, Mapping):
        return {key: _integral(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_integral(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _vllm_client_error() -> type[Exception]:
    from vllm.exceptions import VLLMClientError

    return VLLMClientError
