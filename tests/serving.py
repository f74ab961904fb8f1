"""A served model as the tests see it: Cog's real server, real HTTP, and the probe into its engine."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from utils.local_server import PROJECT, LocalServer, free_port

BUSY_TRIES = 40
"""Cog answers 409 now and then with slots free, when two requests arrive in the same instant."""


@dataclass
class Streamed:
    """The server-sent events of one prediction, each with its seconds since the request."""

    events: list[tuple[float, str, Any]] = field(default_factory=list)

    def named(self, name: str) -> list[tuple[float, Any]]:
        return [(seconds, data) for seconds, event, data in self.events if event == name]

    @property
    def text(self) -> str:
        return "".join(data["chunk"] for _, data in self.named("output"))

    @property
    def result(self) -> dict[str, Any]:
        return self.named("completed")[-1][1]


class Served:
    """One running server."""

    def __init__(self, server: LocalServer, probe: Path) -> None:
        self.server = server
        self.url = server.url
        self._probe = probe

    def health(self) -> str:
        return self.server.health()

    def schema_inputs(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/openapi.json").json()["components"]["schemas"]["Input"]["properties"]

    def post(self, body: Any, **headers: str) -> httpx.Response:
        """POST a prediction; `body` may be raw bytes."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        for _ in range(BUSY_TRIES):
            answer = httpx.post(
                f"{self.url}/predictions",
                content=content,
                headers={"Content-Type": "application/json", **headers},
                timeout=120,
            )
            if answer.status_code != 409:
                break
            time.sleep(0.05)
        return answer

    def predict(self, **inputs: Any) -> dict[str, Any]:
        """Return the whole finished prediction."""
        return self.post({"input": inputs}).json()

    def answer(self, **inputs: Any) -> str:
        """Return the text of a prediction that succeeds."""
        prediction = self.predict(**inputs)
        assert prediction["status"] == "succeeded", prediction
        return "".join(prediction["output"])

    @contextmanager
    def open_stream(self, inputs: Mapping[str, Any], identifier: str | None = None) -> Iterator[Iterator[Any]]:
        """Open a stream of (event, data); leaving the block closes the connection."""
        method, path = ("PUT", f"/predictions/{identifier}") if identifier else ("POST", "/predictions")
        for _ in range(BUSY_TRIES):
            with httpx.stream(
                method,
                f"{self.url}{path}",
                json={"input": dict(inputs)},
                headers={"Accept": "text/event-stream"},
                timeout=120,
            ) as response:
                if response.status_code != 409:
                    assert response.status_code == 200, response.read()
                    yield events(response)
                    return
            time.sleep(0.05)
        raise AssertionError("the server stayed busy")

    def stream(self, **inputs: Any) -> Streamed:
        """Return all events of a prediction with their times."""
        started, streamed = time.perf_counter(), Streamed()
        with self.open_stream(inputs) as received:
            for name, data in received:
                streamed.events.append((time.perf_counter() - started, name, data))
        return streamed

    def cancel(self, identifier: str) -> int:
        return httpx.post(f"{self.url}/predictions/{identifier}/cancel").status_code

    def ask(self, question: str) -> Any:
        """Ask the engine itself: `unfinished` requests, or `engine_pids`."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._probe))
            connection.sendall(question.encode() + b"\n")
            return json.loads(b"".join(iter(lambda: connection.recv(65536), b"")))


def events(response: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in response.iter_lines():
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether `condition` comes true within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextmanager
def serving(scratch: Path, folder: Path = PROJECT, **environment: str) -> Iterator[Served]:
    """Serve the predictor of `folder` with the probe in it, until the block is left."""
    probe = scratch / "probe"
    environment = {
        **os.environ,
        "COG_PREDICT_TYPE_STUB": "tests/probed_predictor.py:ProbedPredictor",
        "TEST_PROBE_SOCKET": str(probe),
        **environment,
    }
    with LocalServer(free_port(), on_log=lambda line: None, environment=environment, folder=folder) as server:
        try:
            server.wait_until_ready()
        except BaseException:
            print("\n".join(server.log))
            raise
        yield Served(server, probe)
