"""A base model from a folder that cannot be written, and then the death of its engine: the second boot."""

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.serving import Served, eventually, serving
from utils.local_server import PROJECT


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    scratch = tmp_path_factory.mktemp("base")
    folder = scratch / "project"
    shutil.copytree(PROJECT / "utils", folder / "utils")
    shutil.copytree(PROJECT / "tests", folder / "tests")
    for name in ("predict.py", "prompt_templates.py"):
        shutil.copy(PROJECT / name, folder / name)
    (folder / ".cog").write_text("a file where the schema's folder should be: root ignores a mode that forbids writing")
    config = folder / "config.yaml"
    config.write_text("model_id: me/a-base-model\nmodel_url: nothing-is-here.tar\nis_instruct: false\n")
    with serving(
        scratch, folder, COG_WEIGHTS=f"{PROJECT}/demo/model.tar", COG_VLLM_CACHE_DIR=f"{scratch}/c"
    ) as running:
        yield running


def test_cog_weights_win_over_the_configs_source(base: Served) -> None:
    assert base.health() == "READY"


def test_a_base_model_has_no_conversation_inputs(base: Served) -> None:
    inputs = base.schema_inputs()

    assert "prompt" in inputs
    assert not {"system_prompt", "messages"} & set(inputs)


def test_a_base_model_gets_the_prompt_as_it_is_after_one_bos(base: Served) -> None:
    prediction = base.predict(prompt="The sky is", max_tokens=4)

    assert "tokens): The sky is\n" in prediction["logs"]
    assert (
        prediction["metrics"]["input_token_count"]
        == base.predict(prompt="<s>The sky is", max_tokens=1)["metrics"]["input_token_count"]
    )


def test_messages_for_a_base_model_fail_with_what_to_do(base: Served) -> None:
    prediction = base.predict(messages=[{"role": "user", "content": "Hello!"}])

    assert "E1002" in prediction["error"], "Cog drops an input that the schema does not have"


def test_a_killed_engine_fails_open_and_later_predictions_and_shows(base: Served) -> None:
    def answer() -> dict:
        return base.predict(prompt="The sky is", max_tokens=1900, sampling_params={"ignore_eos": True})

    with ThreadPoolExecutor(8) as pool:
        open_ones = [pool.submit(answer) for _ in range(8)]
        assert eventually(lambda: base.ask("unfinished") == 8, 20)
        for pid in base.ask("engine_pids"):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: base.health() == "UNHEALTHY", 2)
        failed = [one.result(timeout=10) for one in open_ones]

    for prediction in [*failed, answer()]:
        assert prediction["status"] == "failed"
        assert "E3002" in prediction["error"]
        assert "output_token_count" in prediction["metrics"]
