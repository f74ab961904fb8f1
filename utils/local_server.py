"""Cog's own server as a child of this process: start it, wait until it is ready, stop it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx

from utils.errors import CogVLLMError, EngineStartFailed, InvalidInput, reason

PROJECT = Path(__file__).resolve().parent.parent
PREDICTOR = "predict.py:Predictor"
GRACE = 15.0
"""Seconds between asking the server to end and ending it."""


def free_port() -> int:
    """Return a loopback port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def check_port_is_free(port: int) -> None:
    """Check that a server can listen on `port`.

    Raises:
        InvalidInput: it is no port, or something listens there.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as exc:
        raise InvalidInput(f"port {port} cannot be used ({reason(exc)}): set PORT to a free one") from exc


def max_concurrency() -> int:
    """Return how many predictions run at once: the number that predict.py's decorator holds."""
    from predict import Predictor

    return Predictor.run.__cog_concurrent_max__  # type: ignore[attr-defined]


def server_environment(port: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` with what Cog's server reads.

    Its worker is started as `python` from PATH, so this interpreter's folder comes first there.
    """
    return {
        "COG_PREDICT_TYPE_STUB": PREDICTOR,
        "COG_MAX_CONCURRENCY": str(max_concurrency()),
        **environment,
        "PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
    }


class LocalServer:
    """One Cog server; a context manager that leaves no process behind."""

    def __init__(
        self,
        port: int,
        *,
        on_log: Callable[[str], None],
        environment: Mapping[str, str] = os.environ,
        folder: Path = PROJECT,
    ) -> None:
        """`on_log` gets each line that the server and the model's setup write, from another thread."""
        self.url = f"http://127.0.0.1:{port}"
        self.log: deque[str] = deque(maxlen=2000)
        self._on_log = on_log
        # A group of its own lets everything that it starts be ended together. Not a session of
        # its own: the kernel would then share the cores by session, and starve the clients here.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cog.server.http", "--host", "127.0.0.1"],
            cwd=folder,
            env=server_environment(port, environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        assert self.process.stdout is not None, "asked for above"
        self._follower = threading.Thread(target=self._follow, args=(self.process.stdout,), daemon=True)
        self._follower.start()

    def __enter__(self) -> "LocalServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _follow(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                text = readable(line.decode(errors="replace").rstrip("\n"))
                self.log.append(text)
                self._on_log(text)

    def health(self) -> str:
        """Return the status that Cog reports, such as STARTING, READY or UNHEALTHY; empty while nothing listens."""
        try:
            return httpx.get(f"{self.url}/health-check", timeout=10).json()["status"]
        except httpx.TransportError:
            return ""

    def wait_until_ready(self) -> None:
        """Return when the model can answer.

        Raises:
            CogVLLMError: setup failed, with the code and the message that it failed with.
            EngineStartFailed: setup failed without a code, or the server ended.
        """
        while (status := self.health()) in {"", "STARTING"}:
            if self.process.poll() is not None:
                raise EngineStartFailed(f"the server ended with exit status {self.process.returncode}")
            time.sleep(0.1)
        if status not in {"READY", "BUSY"}:
            setup = httpx.get(f"{self.url}/health-check", timeout=10).json().get("setup", {})
            raise _failed_setup(setup.get("logs", "").strip())

    def stop(self) -> None:
        """End the server and all that it started; what does not end by itself is killed."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while self._signal(0) and time.monotonic() < deadline:
            self.process.poll()
            time.sleep(0.05)
        self._signal(signal.SIGKILL)
        self.process.wait()
        self._follower.join()

    def _signal(self, number: int) -> bool:
        try:
            os.killpg(self.process.pid, number)
            return True
        except (ProcessLookupError, PermissionError):
            return False


def _failed_setup(logs: str) -> CogVLLMError:
    """Return the error that setup raised, without what Cog puts around it."""
    raised = re.search(r"(E\d{4}): (?!.*E\d{4}: )(.*)", logs, flags=re.DOTALL)
    if raised is None:
        return EngineStartFailed(f"the start failed: {logs[-2000:]}")
    error = CogVLLMError(raised[2])
    error.code = raised[1]  # type: ignore[misc]
    return error


def readable(line: str) -> str:
    """Return the message of a line of Cog's JSON log, or the line as it is."""
    try:
        record = json.loads(line)
        return str(record["fields"]["message"])
    except (ValueError, KeyError, TypeError):
        return line
