"""README's tables and commands are those of the code."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import utils.errors
from predict import Inputs, Predictor
from utils import schema
from utils.config import Config
from utils.local_server import PROJECT

README = (PROJECT / "README.md").read_text()


def cell(text: object) -> str:
    return str(text).replace("|", "\\|")


def config_rows() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        default = "required" if field.is_required() else "" if field.get_default() is None else field.get_default()
        if name == "engine_args":
            default = ""
        yield f"| `{name}` | {cell(default)} | {cell(field.description)} |"


def input_rows() -> Iterator[str]:
    for name, one in schema.input_schema(Inputs)["properties"].items():
        bounds = [
            f"from {one['minimum']}" if "minimum" in one else "",
            f"to {one['maximum']}" if "maximum" in one else "",
        ]
        kind = " ".join(filter(None, [one["type"], *bounds]))
        default = "" if one["default"] is None else one["default"]
        yield f"| `{name}` | {kind} | {default} | {cell(one['description'])} |"


def error_rows() -> Iterator[str]:
    for code, meaning in re.findall(r"(E\d\d\d\d)  (.+)", utils.errors.__doc__ or ""):
        yield f"| {code} | {meaning} |"


@pytest.mark.parametrize("row", [*config_rows(), *input_rows(), *error_rows()])
def test_readme_has_the_row(row: str) -> None:
    assert f"\n{row}\n" in README


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


@pytest.mark.parametrize("command", [one for one in commands() if one.startswith("script/")])
def test_a_script_of_readme_is_there_and_runnable(command: str) -> None:
    script = PROJECT / shlex.split(command)[0]

    assert script.stat().st_mode & 0o111


def test_the_plain_server_line_has_the_decorators_concurrency() -> None:
    line = next(one for one in commands() if "cog.server.http" in one)

    assert f"COG_MAX_CONCURRENCY={Predictor.run.__cog_concurrent_max__} " in line  # type: ignore[attr-defined]


def test_every_file_of_the_package_has_its_line() -> None:
    modules = {f"utils/{path.name}" for path in (PROJECT / "utils").glob("*.*") if path.name != "__init__.py"}
    named = set(re.findall(r"^\| .*", README, flags=re.MULTILINE))

    assert not [module for module in modules if not any(f"`{module}`" in line for line in named)]


@pytest.mark.parametrize("target", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_links_lead_to_files(target: str) -> None:
    assert (PROJECT / Path(target)).exists()
