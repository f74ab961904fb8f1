"""The real predictor with a window: a socket that tells what its engine has open and which processes it runs in."""

import asyncio
import json
import os
from pathlib import Path

import psutil
from cog import Path as CogPath

from predict import Predictor


class ProbedPredictor(Predictor):
    """Answers `unfinished` and `engine_pids` on the socket that TEST_PROBE_SOCKET names."""

    async def setup(self, weights: CogPath | None = None) -> None:
        await super().setup(weights)
        self._probe = await asyncio.start_unix_server(self._answer_probe, Path(os.environ["TEST_PROBE_SOCKET"]))

    async def _answer_probe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {"unfinished": self._unfinished, "engine_pids": self._engine_pids}
        question = (await reader.readline()).decode().strip()
        writer.write(json.dumps(answers[question]()).encode())
        writer.close()

    def _unfinished(self) -> int:
        return self.service.unfinished_requests

    def _engine_pids(self) -> list[int]:
        return [process.pid for process in psutil.Process().children(recursive=True)]
