"""One boot of the engine serves every test that wants the demo model as config.yaml has it."""

import asyncio
import signal
from collections.abc import Iterator

import pytest

from tests.serving import Served, serving
from utils.prompts import Tokenizer
from utils.weights import fetch


def pytest_configure() -> None:
    """A run that is told to end stops its servers first, as after Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture(scope="session")
def demo_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """The demo model's real tokenizer."""
    from transformers import AutoTokenizer

    folder = asyncio.run(fetch("demo/model.tar", tmp_path_factory.mktemp("cache"), print))
    return AutoTokenizer.from_pretrained(folder)
