"""A small engine in this process: it answers with the words of the prompt's tokens, one token a step."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from utils.engine import Delta
from utils.errors import EngineDead
from utils.prompts import Tokenizer
from utils.request import GenerationRequest


@dataclass(frozen=True)
class WordParams:
    """What `stream` goes by."""

    max_tokens: int
    min_tokens: int
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]


class WordEngine:
    """Generates the prompt's own tokens again and again until `max_tokens`; holds after `hold_after` tokens."""

    architecture = "LlamaForCausalLM"

    def __init__(self, tokenizer: Tokenizer, *, max_model_len: int = 64, hold_after: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_model_len = max_model_len
        self.errored = False
        self.stopped = False
        self.open: set[str] = set()
        self.seen: list[tuple[list[int], WordParams]] = []
        self._hold_after = hold_after

    @property
    def unfinished_requests(self) -> int:
        return len(self.open)

    def sampling_params(
        self, request: GenerationRequest, *, max_tokens: int, stop: tuple[str, ...], stop_token_ids: tuple[int, ...]
    ) -> WordParams:
        return WordParams(max_tokens, request.min_tokens, stop, stop_token_ids)

    async def stream(self, token_ids: list[int], params: Any, request_id: str) -> AsyncIterator[Delta]:
        self.open.add(request_id)
        self.seen.append((token_ids, params))
        try:
            for count in range(1, params.max_tokens + 1):
                if self.errored:
                    raise EngineDead("killed")
                if self._hold_after is not None and count > self._hold_after:
                    await asyncio.Event().wait()
                await asyncio.sleep(0)
                yield Delta(
                    f"{token_ids[count % len(token_ids)]} ", 1, "length" if count == params.max_tokens else None
                )
        finally:
            self.open.discard(request_id)

    def stop(self) -> None:
        self.stopped = True
