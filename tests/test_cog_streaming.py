"""The relay from async iterators to Cog's threads, and whether Cog still needs it."""

import asyncio
import concurrent.futures
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cog import CancelationException

from tests.serving import Served
from utils import cog_streaming, schema
from utils.cog_streaming import Relay, make_cancellable
from utils.local_server import PROJECT, LocalServer, free_port


class CogsLoop:
    """An event loop in a thread of its own, to which coroutines are submitted as Cog's worker submits them."""

    def __enter__(self) -> "CogsLoop":
        self.original = asyncio.run_coroutine_threadsafe
        make_cancellable()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        asyncio.run_coroutine_threadsafe = self.original

    def submit(self, relay: Relay, source: AsyncIterator[str]) -> "concurrent.futures.Future[Iterator[str]]":
        async def run() -> Iterator[str]:
            return relay.stream(source)

        return asyncio.run_coroutine_threadsafe(run(), self.loop)


@pytest.fixture
def cogs() -> Iterator[CogsLoop]:
    with CogsLoop() as loop:
        yield loop


async def pieces(*texts: str, error: Exception | None = None) -> AsyncIterator[str]:
    for text in texts:
        await asyncio.sleep(0)
        yield text
    if error:
        raise error


class Endless:
    """Yields one piece and then waits for ever; remembers that it was cancelled."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.cancelled = threading.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        self.started.set()
        try:
            yield "first"
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


def test_the_text_arrives_whole_and_in_order(cogs: CogsLoop) -> None:
    texts = [str(number) for number in range(500)]

    assert "".join(cogs.submit(Relay(), pieces(*texts)).result()) == "".join(texts)


def test_the_first_piece_does_not_wait_for_the_second(cogs: CogsLoop) -> None:
    stream = cogs.submit(Relay(), aiter(Endless())).result()

    assert next(stream) == "first"


def test_cancelling_the_finished_future_reaches_the_source(cogs: CogsLoop) -> None:
    source = Endless()
    future = cogs.submit(Relay(), aiter(source))
    stream = future.result()

    assert future.cancel()
    assert source.cancelled.wait(5)
    with pytest.raises(CancelationException):
        list(stream)


def test_leaving_the_stream_early_cancels_the_source(cogs: CogsLoop) -> None:
    source = Endless()
    stream = cogs.submit(Relay(), aiter(source)).result()
    next(stream)
    del stream

    assert source.cancelled.wait(5)


def test_a_stream_that_is_dropped_before_it_was_started_cancels_the_source(cogs: CogsLoop) -> None:
    source = Endless()
    stream = cogs.submit(Relay(), aiter(source)).result()
    assert source.started.wait(5)
    del stream

    assert source.cancelled.wait(5), "Cog raises in the slot's thread where a cancel comes before its future"


def test_an_error_comes_after_the_text_before_it(cogs: CogsLoop) -> None:
    stream = cogs.submit(Relay(), pieces("a", "b", error=ValueError("broken"))).result()
    received: list[str] = []

    with pytest.raises(ValueError, match="broken"):
        received.extend(stream)
    assert "".join(received) == "ab"


def test_a_coroutine_that_relays_nothing_is_cancelled_as_ever(cogs: CogsLoop) -> None:
    started = threading.Event()

    async def wait() -> None:
        started.set()
        await asyncio.sleep(60)

    future = asyncio.run_coroutine_threadsafe(wait(), cogs.loop)

    assert started.wait(5)
    assert future.cancel()
    assert future.cancelled()


def test_under_load_pieces_are_joined(cogs: CogsLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cog_streaming, "SECONDS_PER_STREAM", 30.0)
    stream = cogs.submit(Relay(), pieces(*"abcdefgh")).result()

    assert list(stream) == ["a", "bcdefgh"], "the first at once, the rest when the pause or the answer ends"


def test_installing_twice_wraps_once(cogs: CogsLoop) -> None:
    installed = asyncio.run_coroutine_threadsafe
    make_cancellable()

    assert asyncio.run_coroutine_threadsafe is installed


def test_cog_still_collects_what_an_async_generator_yields(tmp_path: Path) -> None:
    """When this fails, Cog streams by itself: yield from `run()` and remove utils/cog_streaming.py."""
    (tmp_path / "predict.py").write_text((PROJECT / "tests" / "collecting_predictor.py").read_text())
    (tmp_path / ".cog").mkdir()
    served = schema.document({"title": "Input", "type": "object", "properties": {}})
    (tmp_path / ".cog" / "openapi_schema.json").write_text(json.dumps(served))
    environment = {**os.environ, "COG_PREDICT_TYPE_STUB": "predict.py:CollectingPredictor", "COG_MAX_CONCURRENCY": "1"}

    with LocalServer(free_port(), on_log=print, environment=environment, folder=tmp_path) as server:
        server.wait_until_ready()
        streamed = Served(server, tmp_path).stream()

    first, done = streamed.named("output")[0][0], streamed.named("completed")[0][0]
    assert streamed.text == "01234"
    assert first > 0.8 * done, "Cog now streams async generators: utils/cog_streaming.py can go"
