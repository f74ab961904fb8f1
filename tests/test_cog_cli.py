"""The unmodified Cog CLI on this folder, where it is on PATH and, for the schema, Docker answers."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from predict import Inputs
from utils import schema
from utils.local_server import PROJECT

COG = shutil.which("cog")
QUIET = {**os.environ, "COG_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}

pytestmark = pytest.mark.skipif(COG is None, reason="the Cog CLI is not on PATH")


def docker_answers() -> bool:
    return (
        shutil.which("docker") is not None and subprocess.run(["docker", "info"], capture_output=True).returncode == 0
    )


@pytest.mark.parametrize("file", ["cog.yaml", "cog.cpu.yaml"])
def test_cog_doctor_finds_no_fault(file: str) -> None:
    environment = {**QUIET, "COG_SKIP_DOCKER_CHECK": "1", "COG_SKIP_GPU_CHECK": "1"}
    run = subprocess.run([COG, "doctor", "-f", file], cwd=PROJECT, env=environment, capture_output=True, text=True)

    assert run.returncode == 0, run.stdout + run.stderr
    assert " error" not in run.stderr + run.stdout


def test_cogs_schema_is_ours(tmp_path: Path) -> None:
    """`cog build` writes the schema before it builds anything; it is stopped then."""
    if not docker_answers():
        pytest.skip("Docker does not answer")
    for name in ("predict.py", "prompt_templates.py", "config.yaml", "cog.cpu.yaml", "requirements-cpu.txt"):
        shutil.copy(PROJECT / name, tmp_path / name)
    shutil.copytree(PROJECT / "utils", tmp_path / "utils")
    written = tmp_path / ".cog" / "openapi_schema.json"
    build = subprocess.Popen(
        [COG, "build", "-f", "cog.cpu.yaml", "--use-cog-base-image=false", "-t", "cog-vllm-schema-test"],
        cwd=tmp_path,
        env=QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    try:
        while not (written.exists() and written.read_text().rstrip().endswith("}")) and build.poll() is None:
            time.sleep(0.05)
    finally:
        if build.poll() is None:
            os.killpg(build.pid, signal.SIGTERM)
        _, errors = build.communicate(timeout=60)

    assert written.exists(), errors.decode()[-2000:]
    assert json.loads(written.read_text()) == schema.document(schema.input_schema(Inputs))
