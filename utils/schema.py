"""The OpenAPI document that Cog's server checks inputs with, fitted to the loaded model.

Cog writes one while it builds an image, by reading predict.py without running it, and its
server loads `.cog/openapi_schema.json` when `setup()` has returned. So `setup()` can put
there the document that is true for the model it loaded.
"""

import json
import os
import tempfile
import types
import typing
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVED_PATH = Path(".cog/openapi_schema.json")

_JSON_TYPES: Mapping[Any, str] = types.MappingProxyType(
    {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
)


@dataclass(frozen=True)
class ModelLimits:
    """What of the loaded model shows in the inputs."""

    max_model_len: int
    takes_system_prompt: bool
    takes_messages: bool
    system_prompt: str


def input_schema(inputs: type) -> dict[str, Any]:
    """Describe a class of `Input()`s as Cog does: one property an attribute, from its type and its bounds.

    The class is read and not the signature of `run`, whose `Input()`s Cog's worker replaces by
    their defaults when it loads the predictor.
    """
    hints = typing.get_type_hints(inputs)
    properties = {name: _property(name, hints[name], getattr(inputs, name), order) for order, name in enumerate(hints)}
    return {"title": "Input", "type": "object", "properties": properties}


def _property(name: str, hint: Any, described: Any, order: int) -> dict[str, Any]:
    arguments = [one for one in typing.get_args(hint) if one is not type(None)]
    nullable = type(None) in typing.get_args(hint)
    limits = {"description": described.description, "minimum": described.ge, "maximum": described.le}
    return {
        "title": name.replace("_", " ").title(),
        "x-order": order,
        "default": described.default,
        **_json_type(arguments[0] if nullable else hint),
        **({"nullable": True} if nullable else {}),
        **{limit: value for limit, value in limits.items() if value is not None},
    }


def _json_type(plain: Any) -> dict[str, Any]:
    kind = {"type": _JSON_TYPES[typing.get_origin(plain) or plain]}
    if kind["type"] == "array":
        kind["items"] = _json_type(typing.get_args(plain)[0])  # type: ignore[assignment]
    return kind


def fitted_inputs(inputs: Mapping[str, Any], limits: ModelLimits) -> dict[str, Any]:
    """Return the inputs that the loaded model takes, with its bounds and defaults."""
    fitted = deepcopy(dict(inputs))
    properties = fitted["properties"]
    if limits.takes_system_prompt:
        properties["system_prompt"]["default"] = limits.system_prompt
    else:
        del properties["system_prompt"]
    if not limits.takes_messages:
        del properties["messages"]
    longest = limits.max_model_len - 1
    for name in ("max_tokens", "min_tokens"):
        properties[name]["maximum"] = longest
    properties["max_tokens"]["default"] = min(properties["max_tokens"]["default"], longest)
    return fitted


def document(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole OpenAPI 3.0.2 document for a prediction that streams text, as Cog 0.23 writes it."""
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "dev"},
        "paths": {
            "/": {"get": _operation("Root", "root__get")},
            "/health-check": {"get": _operation("Healthcheck", "healthcheck_health_check_get")},
            "/predictions": {"post": _PREDICT},
            "/predictions/{prediction_id}/cancel": {"post": _CANCEL},
        },
        "components": {"schemas": {"Input": inputs, **_SCHEMAS}},
    }


def write(served: Mapping[str, Any], report: Callable[[str], None]) -> None:
    """Put `served` where Cog's server looks for it when `setup()` has returned.

    The server looks below the working folder. Where that is read-only, a temporary folder
    becomes the working folder: without the file, Cog checks no inputs and refuses to stream.
    """
    try:
        _write_whole(SERVED_PATH, served)
    except OSError as error:
        folder = tempfile.mkdtemp(prefix="cog-vllm-")
        report(f"{SERVED_PATH} cannot be written ({error.strerror}): the schema is in {folder} instead")
        os.chdir(folder)
        _write_whole(SERVED_PATH, served)


def _write_whole(path: Path, served: Mapping[str, Any]) -> None:
    text = json.dumps(served, indent=2)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json_content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": dict(schema)}}


def _operation(summary: str, identifier: str, answer: Mapping[str, Any] | None = None) -> dict[str, Any]:
    success = {"description": "Successful Response", "content": _json_content(answer or {})}
    return {"summary": summary, "operationId": identifier, "responses": {"200": success}}


def _with_validation_error(operation: dict[str, Any]) -> dict[str, Any]:
    refused = {"description": "Validation Error", "content": _json_content(_ref("HTTPValidationError"))}
    operation["responses"]["422"] = refused
    return operation


def _object(title: str, **properties: Any) -> dict[str, Any]:
    return {"title": title, "type": "object", "properties": properties}


def _string(title: str, **more: str) -> dict[str, Any]:
    return {"title": title, "type": "string", **more}


_PREDICT = {
    **_with_validation_error(_operation("Predict", "predict_predictions_post", _ref("PredictionResponse"))),
    "description": "Run a single prediction on the model",
    "requestBody": {"content": _json_content(_ref("PredictionRequest"))},
    "x-cog-streaming": True,
}

_CANCEL = {
    **_with_validation_error(_operation("Cancel", "cancel_predictions__prediction_id__cancel_post")),
    "parameters": [{"in": "path", "name": "prediction_id", "required": True, "schema": _string("Prediction Id")}],
}

_SCHEMAS: dict[str, Any] = {
    "Output": {
        "title": "Output",
        "type": "array",
        "items": {"type": "string"},
        "x-cog-array-type": "iterator",
        "x-cog-array-display": "concatenate",
    },
    "PredictionRequest": _object("PredictionRequest", id=_string("Id"), input=_ref("Input")),
    "PredictionResponse": _object(
        "PredictionResponse",
        id=_string("Id"),
        version=_string("Version"),
        created_at=_string("Created At", format="date-time"),
        started_at=_string("Started At", format="date-time"),
        completed_at=_string("Completed At", format="date-time"),
        status=_string("Status"),
        input=_ref("Input"),
        output=_ref("Output"),
        logs=_string("Logs"),
        error=_string("Error"),
        metrics={"title": "Metrics", "type": "object"},
    ),
    "Status": {
        **_string("Status", description="An enumeration."),
        "enum": ["starting", "processing", "succeeded", "canceled", "failed"],
    },
    "HTTPValidationError": _object(
        "HTTPValidationError", detail={"title": "Detail", "type": "array", "items": _ref("ValidationError")}
    ),
    "ValidationError": {
        **_object(
            "ValidationError",
            loc={"title": "Location", "type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            msg=_string("Message"),
            type=_string("Error Type"),
        ),
        "required": ["loc", "msg", "type"],
    },
}
