"""script/predict and script/serve as a person starts them; the one test file that boots for a command."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from demo.golden import EPIC_PROMPT
from utils.command_line import _typed_inputs
from utils.errors import InvalidInput
from utils.local_server import PROJECT, free_port

MARK = "COG_TEST_MARK"


def start(arguments: Sequence[str], mark: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        cwd=PROJECT,
        env={**os.environ, MARK: mark, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def marked(mark: str) -> list[psutil.Process]:
    """Processes that were started, directly or not, with this mark in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_predict_streams_the_answer_and_leaves_no_process(tmp_path: Path) -> None:
    command = start(["script/predict", "-i", f"prompt={EPIC_PROMPT}", "-i", "temperature=0"], str(tmp_path))
    arrivals: list[float] = []
    text = ""
    assert command.stdout is not None
    while piece := os.read(command.stdout.fileno(), 4096):
        arrivals.append(time.perf_counter())
        text += piece.decode()
    _, errors = command.communicate()

    assert command.returncode == 0, errors
    assert len(text) > 100
    assert text.endswith("\n")
    assert len(arrivals) > 3, "the answer came in one piece"
    for phase in ("weights: ", "import: ", "engine: "):
        assert f"[cog-vllm] {phase}" in errors
    assert "tokens in, " in errors.splitlines()[-1]
    assert "tokens/s" in errors.splitlines()[-1]
    assert not marked(str(tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_serve_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    command = start(["script/serve", "--port", str(free_port())], str(tmp_path))
    while len(marked(str(tmp_path))) < 3:
        assert command.poll() is None
        time.sleep(0.05)

    command.send_signal(number)
    command.communicate(timeout=60)

    assert command.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert not marked(str(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "message"),
    [
        (["script/predict", "-i", "prompt"], {}, 2, "E1001: -i 'prompt' has no value"),
        (["script/predict", "--prompt", "a"], {}, 2, "unrecognized arguments"),
        (["script/predict", "-i", "prompt=a"], {"COG_VLLM_CONFIG": "nowhere.yaml"}, 2, "E2001: nowhere.yaml"),
        (["script/serve"], {"COG_VLLM_MODELURL": "x"}, 2, "did you mean COG_VLLM_MODEL_URL?"),
    ],
)
def test_a_wrong_call_says_what_to_do_and_starts_nothing(
    arguments: list[str], environment: dict[str, str], status: int, message: str
) -> None:
    started = time.monotonic()
    command = start(arguments, "wrong", **environment)
    _, errors = command.communicate(timeout=60)

    assert command.returncode == status
    assert message in errors
    assert "Traceback" not in errors
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(("port", "message"), [("taken", "in use"), ("99999", "port 99999 cannot be used")])
def test_a_port_that_cannot_be_used_is_said_before_anything_starts(port: str, message: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1]) if port == "taken" else port
        command = start(["script/serve"], "taken", PORT=number)
        _, errors = command.communicate(timeout=60)

    assert command.returncode == 2
    assert message in errors
    assert "serving at" not in errors


def test_a_model_that_cannot_be_had_ends_the_command_with_its_code(tmp_path: Path) -> None:
    command = start(["script/predict", "-i", "prompt=a"], str(tmp_path), COG_VLLM_MODEL_URL=str(tmp_path / "no.tar"))
    _, errors = command.communicate(timeout=120)

    assert command.returncode == 2
    assert errors.splitlines()[-1].startswith("E2101: ")
    assert "no.tar does not exist" in errors.splitlines()[-1]
    assert errors.count("E2101") == 1, "one line says it"
    assert not marked(str(tmp_path))


SCHEMA = {
    "components": {
        "schemas": {
            "Input": {
                "properties": {
                    "prompt": {"type": "string"},
                    "max_tokens": {"type": "integer"},
                    "temperature": {"type": "number"},
                    "messages": {"type": "array"},
                }
            }
        }
    }
}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("prompt", "5", "5"),
        ("prompt", "a=b", "a=b"),
        ("max_tokens", "5", 5),
        ("temperature", "0", 0),
        ("messages", '[{"role": "user", "content": "é"}]', [{"role": "user", "content": "é"}]),
    ],
)
def test_inputs_get_the_types_of_the_schema(name: str, text: str, value: object) -> None:
    assert _typed_inputs({name: text}, SCHEMA) == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("max_tokens", "many", "integer"), ("messages", "hello", "array"), ("promt", "a", "did you mean prompt")],
)
def test_inputs_that_do_not_fit_the_schema_are_named(name: str, text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        _typed_inputs({name: text}, SCHEMA)
