"""The served schema: true to predict.py, to GenerationRequest and to the loaded model."""

import ast
import inspect
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

import predict
from utils import schema
from utils.request import GenerationRequest, input_names
from utils.schema import ModelLimits

INPUTS = schema.input_schema(predict.Inputs)
PROPERTIES = INPUTS["properties"]
INSTRUCT = ModelLimits(max_model_len=4096, takes_system_prompt=True, takes_messages=True, system_prompt="Be kind.")


def field_name(input_name: str) -> str:
    return "stop" if input_name == "stop_sequences" else input_name


def bounds_of_field(name: str) -> dict[str, float]:
    metadata = GenerationRequest.model_fields[field_name(name)].metadata
    names = {"ge": "minimum", "le": "maximum"}
    return {names[one]: getattr(limit, one) for limit in metadata for one in names if hasattr(limit, one)}


def test_inputs_are_those_of_the_request_in_both_directions() -> None:
    assert tuple(PROPERTIES) == input_names()


def test_run_takes_every_input_in_order_and_nothing_else() -> None:
    parameters = [*inspect.signature(predict.Predictor.run).parameters.values()][1:]
    assert [one.name for one in parameters] == list(PROPERTIES)
    assert all(one.default is getattr(predict.Inputs, one.name) for one in parameters)
    hints = inspect.get_annotations(predict.Inputs)
    assert {one.name: one.annotation for one in parameters} == hints


@pytest.mark.parametrize("name", PROPERTIES)
def test_default_of_an_input_is_that_of_the_request(name: str) -> None:
    field = GenerationRequest.model_fields[field_name(name)]
    default = field.get_default(call_default_factory=True)
    assert PROPERTIES[name]["default"] == (None if default in ((), {}) else default)
    assert PROPERTIES[name].get("nullable", False) is (PROPERTIES[name]["default"] is None)


@pytest.mark.parametrize("name", PROPERTIES)
def test_bounds_of_an_input_are_those_of_the_request(name: str) -> None:
    served = {limit: PROPERTIES[name][limit] for limit in ("minimum", "maximum") if limit in PROPERTIES[name]}
    assert served == bounds_of_field(name)


@pytest.mark.parametrize("name", PROPERTIES)
def test_request_keeps_its_bounds_at_their_edges(name: str) -> None:
    for limit, sign in (("minimum", -1), ("maximum", 1)):
        if limit in PROPERTIES[name]:
            edge = PROPERTIES[name][limit]
            base = {"prompt": "hi", "max_tokens": max(1, edge)} if name == "min_tokens" else {"prompt": "hi"}
            GenerationRequest.from_inputs({**base, name: edge})
            with pytest.raises(ValueError, match=name):
                GenerationRequest.model_validate({**base, name: edge + sign})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prompt", {"type": "string"}),
        ("messages", {"type": "array", "items": {"type": "object"}}),
        ("max_tokens", {"type": "integer"}),
        ("temperature", {"type": "number"}),
        ("seed", {"type": "integer"}),
        ("sampling_params", {"type": "object"}),
    ],
)
def test_type_of_an_input(name: str, kind: dict[str, Any]) -> None:
    assert {key: PROPERTIES[name].get(key) for key in kind} == kind


def test_inputs_are_shown_in_their_order_under_readable_titles() -> None:
    assert [one["x-order"] for one in PROPERTIES.values()] == list(range(len(PROPERTIES)))
    assert PROPERTIES["max_tokens"]["title"] == "Max Tokens"
    assert all(one["description"].endswith(".") for one in PROPERTIES.values())


def input_calls() -> list[tuple[str, ast.Call]]:
    tree = ast.parse(Path(predict.__file__).read_text())
    inputs = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Inputs")
    return [
        (node.target.id, node.value)
        for node in inputs.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(node.value, ast.Call)
    ]


def is_literal(node: ast.expr) -> bool:
    inner = node.operand if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) else node
    return isinstance(inner, ast.Constant)


def test_every_input_is_seen_by_a_static_reader() -> None:
    assert [name for name, _ in input_calls()] == list(PROPERTIES)


@pytest.mark.parametrize(("name", "call"), input_calls(), ids=PROPERTIES)
def test_cogs_static_reader_gets_single_literals(name: str, call: ast.Call) -> None:
    source = Path(predict.__file__).read_text()
    assert not call.args
    for keyword in call.keywords:
        assert is_literal(keyword.value), f"{name}: {keyword.arg} is no literal"
        text = ast.get_source_segment(source, keyword.value) or ""
        if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
            assert re.fullmatch(r'"[^"\\\n]*"', text), f"{name}: {keyword.arg} is not one plain string"


def test_annotations_are_of_the_kinds_that_cog_reads() -> None:
    text = Path(predict.__file__).read_text()
    assert "from __future__ import annotations" not in text
    assert " | None" not in text


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        (INSTRUCT, {"system_prompt": {"default": "Be kind."}, "max_tokens": {"maximum": 4095, "default": 512}}),
        (
            ModelLimits(100, True, True, ""),
            {"system_prompt": {"default": ""}, "max_tokens": {"maximum": 99, "default": 99}},
        ),
        (ModelLimits(513, True, True, ""), {"max_tokens": {"maximum": 512, "default": 512}}),
        (ModelLimits(2, True, True, ""), {"max_tokens": {"maximum": 1, "default": 1}, "min_tokens": {"maximum": 1}}),
        (ModelLimits(4096, False, False, ""), {"system_prompt": None, "messages": None}),
        (ModelLimits(4096, True, False, "x"), {"system_prompt": {"default": "x"}, "messages": None}),
    ],
)
def test_inputs_fit_the_loaded_model(limits: ModelLimits, changes: dict[str, dict[str, Any] | None]) -> None:
    fitted = schema.fitted_inputs(INPUTS, limits)["properties"]
    for name, one in PROPERTIES.items():
        change = changes.get(name, {})
        if change is None:
            assert name not in fitted
        else:
            bound = {"maximum": limits.max_model_len - 1} if name in {"max_tokens", "min_tokens"} else {}
            default = {"default": limits.system_prompt} if name == "system_prompt" else {}
            assert fitted[name] == {**one, **bound, **default, **change}


def test_fitting_leaves_the_given_inputs_alone() -> None:
    before = json.dumps(INPUTS)
    schema.fitted_inputs(INPUTS, ModelLimits(100, False, False, ""))
    assert json.dumps(INPUTS) == before


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def document(limits: ModelLimits = INSTRUCT) -> dict[str, Any]:
    return schema.document(schema.fitted_inputs(INPUTS, limits))


def test_every_schema_of_the_document_is_valid() -> None:
    for one in document()["components"]["schemas"].values():
        jsonschema.Draft4Validator.check_schema(one)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    served = document()
    for reference in references(served):
        assert reference.removeprefix("#/components/schemas/") in served["components"]["schemas"]
    used = {reference.rpartition("/")[2] for reference in references(served)}
    assert set(served["components"]["schemas"]) - used == {"Status"}


def test_operations_have_what_openapi_wants() -> None:
    operations = [one for path in document()["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert all(answer["description"] for answer in one["responses"].values())


def test_document_says_that_the_prediction_streams_text() -> None:
    served = document()
    assert served["openapi"] == "3.0.2"
    assert served["paths"]["/predictions"]["post"]["x-cog-streaming"] is True
    assert served["components"]["schemas"]["Output"]["x-cog-array-display"] == "concatenate"


@pytest.mark.parametrize(
    ("inputs", "fits"),
    [
        ({}, True),
        ({"prompt": "hi", "seed": 0}, True),
        ({"messages": [{"role": "user", "content": "hi"}]}, True),
        ({"max_tokens": 4095}, True),
        ({"max_tokens": 4096}, False),
        ({"max_tokens": 0}, False),
        ({"temperature": 5.1}, False),
        ({"seed": 2**53}, False),
        ({"prompt": 5}, False),
        ({"messages": ["hi"]}, False),
        ({"sampling_params": []}, False),
    ],
)
def test_document_checks_inputs_as_the_request_does(inputs: dict[str, Any], fits: bool) -> None:
    validator = jsonschema.Draft4Validator(document()["components"]["schemas"]["Input"])
    assert validator.is_valid(inputs) is fits


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path


def test_schema_is_written_where_cog_looks(folder: Path) -> None:
    reports: list[str] = []
    schema.write({"a": "é"}, reports.append)
    schema.write({"b": 1}, reports.append)
    assert json.loads((folder / ".cog/openapi_schema.json").read_text()) == {"b": 1}
    assert os.listdir(folder / ".cog") == ["openapi_schema.json"]
    assert not reports


def test_folder_that_cannot_be_written_is_left_for_a_temporary_one(folder: Path) -> None:
    (folder / ".cog").write_text("a file where the folder would be")
    reports: list[str] = []
    schema.write({"a": 1}, reports.append)
    elsewhere = Path.cwd()
    assert elsewhere.parent == folder
    assert json.loads((elsewhere / ".cog/openapi_schema.json").read_text()) == {"a": 1}
    assert reports == [
        f".cog/openapi_schema.json cannot be written (File exists): the schema is in {elsewhere} instead"
    ]


def test_failed_write_leaves_the_former_schema_and_nothing_else(folder: Path) -> None:
    schema.write({"a": 1}, print)
    with pytest.raises(TypeError):
        schema.write({"a": object()}, print)
    assert json.loads((folder / ".cog/openapi_schema.json").read_text()) == {"a": 1}
    assert os.listdir(folder / ".cog") == ["openapi_schema.json"]


def test_write_that_breaks_off_leaves_nothing_behind(folder: Path) -> None:
    target = folder / ".cog/openapi_schema.json"
    (target / "in the way").mkdir(parents=True)
    schema.write({"a": 1}, print)
    assert os.listdir(folder / ".cog") == ["openapi_schema.json"]
    assert json.loads(Path(".cog/openapi_schema.json").read_text()) == {"a": 1}
