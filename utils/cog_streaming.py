"""Lets an async prediction stream on Cog's server and still be cancelled.

Cog 0.23 collects what an async generator yields and sends it when it is done. What it does
send at once is what a synchronous generator yields, also one that an `async def run()`
returns: Cog iterates it in the thread of the prediction's slot. But by then the future that
Cog would cancel is done, so cancelling has no effect. This module hands Cog a synchronous
generator fed from the event loop, and makes that future's `cancel()` reach the task that feeds it.

When a newer Cog streams async generators itself, `tests/test_cog_streaming.py` fails and says
that this module can go.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import functools
import queue
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

from cog import CancelationException

SECONDS_PER_STREAM = 0.002
"""Each piece that is handed over wakes a thread. With many streams open, pieces are joined for
this long times their number, which keeps the thread switches a second about constant."""

_cancel_hooks: contextvars.ContextVar[list[Callable[[], object]]] = contextvars.ContextVar("cancel_hooks")

_END = object()


def make_cancellable() -> None:
    """Have `asyncio.run_coroutine_threadsafe`, which Cog calls by that name, return futures whose
    `cancel()` also cancels what `Relay.stream` started within the coroutine. Call it in `setup()`."""
    original = asyncio.run_coroutine_threadsafe
    if getattr(original, "reaches_relays", False):
        return

    @functools.wraps(original)
    def run(coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> "concurrent.futures.Future[Any]":
        hooks: list[Callable[[], object]] = []
        context = contextvars.copy_context()
        context.run(_cancel_hooks.set, hooks)
        future = context.run(original, coroutine, loop)
        # Weakly, or the future would hold itself and its result, the stream, until the next garbage collection.
        submitted = weakref.ref(future)

        def cancel() -> bool:
            for hook in hooks:
                loop.call_soon_threadsafe(hook)
            alive = submitted()
            return (alive is not None and concurrent.futures.Future.cancel(alive)) or bool(hooks)

        future.cancel = cancel  # type: ignore[method-assign]
        return future

    run.reaches_relays = True  # type: ignore[attr-defined]
    asyncio.run_coroutine_threadsafe = run  # type: ignore[assignment]


class Relay:
    """Hands the pieces of async iterators to synchronous generators, and knows how many are open."""

    def __init__(self) -> None:
        self._open = 0

    def stream(self, source: AsyncIterator[str]) -> Iterator[str]:
        """Start to consume `source` and return a generator of its text for Cog to iterate.

        Call it in the coroutine that Cog runs. Errors of `source` are raised from the
        generator; on cancelling, `source` gets CancelledError and the generator raises
        Cog's CancelationException.
        """
        pieces: queue.SimpleQueue[Any] = queue.SimpleQueue()
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._feed(source, pieces))
        _cancel_hooks.get([]).append(task.cancel)
        stream = _drain(pieces)
        # Cog also cancels by raising in its own thread; then the generator is dropped, maybe before it was
        # started, and nothing in it runs. Where it is gone, nobody waits for the text.
        dropped = weakref.finalize(stream, _cancel_in, loop, task)
        dropped.atexit = False
        return stream

    async def _feed(self, source: AsyncIterator[str], pieces: "queue.SimpleQueue[Any]") -> None:
        joiner = _Joiner(pieces, lambda: SECONDS_PER_STREAM * self._open)
        self._open += 1
        try:
            async for piece in source:
                joiner.add(piece)
            joiner.flush()
            pieces.put(_END)
        except asyncio.CancelledError:
            pieces.put(CancelationException())
        except Exception as error:
            joiner.flush()
            pieces.put(error)
        finally:
            joiner.close()
            self._open -= 1


class _Joiner:
    """Collects pieces and hands them over joined: the first at once, then after a pause that grows with load."""

    def __init__(self, pieces: "queue.SimpleQueue[Any]", pause: Callable[[], float]) -> None:
        self._pieces = pieces
        self._pause = pause
        self._loop = asyncio.get_running_loop()
        self._waiting: list[str] = []
        self._last = float("-inf")
        self._timer: asyncio.TimerHandle | None = None

    def add(self, piece: str) -> None:
        self._waiting.append(piece)
        wait = self._last + self._pause() - self._loop.time()
        if wait <= 0:
            self.flush()
        elif self._timer is None:
            self._timer = self._loop.call_later(wait, self.flush)

    def flush(self) -> None:
        self.close()
        if self._waiting:
            self._pieces.put("".join(self._waiting))
            self._waiting.clear()
            self._last = self._loop.time()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _drain(pieces: "queue.SimpleQueue[Any]") -> Iterator[str]:
    while (piece := pieces.get()) is not _END:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


def _cancel_in(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    """Cancel `task`, which may be done, from any thread; a loop that is closed has no tasks left to cancel."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(task.cancel)
