"""A small engine in this process: it answers with the words of the prompt's tokens, one token a step."""

import asyncio
from collections.abc import AsyncGenerator

from utils.engine import Delta
from utils.errors import EngineDead
from utils.prompts import Tokenizer
from utils.request import GenerationRequest
from utils.sampling import Ending


class WordEngine:
    """Generates the prompt's own tokens again and again until `max_tokens`; holds after `hold_after` tokens."""

    architecture = "LlamaForCausalLM"

    def __init__(self, tokenizer: Tokenizer, *, max_model_len: int = 64, hold_after: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_model_len = max_model_len
        self.errored = False
        self.stopped = False
        self.open: set[str] = set()
        self.seen: list[list[int]] = []
        self._hold_after = hold_after

    @property
    def unfinished_requests(self) -> int:
        return len(self.open)

    async def stream(
        self, token_ids: list[int], request: GenerationRequest, ending: Ending, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        max_tokens = min(request.max_tokens, ending.max_tokens)
        self.open.add(request_id)
        self.seen.append(token_ids)
        try:
            for count in range(1, max_tokens + 1):
                if self.errored:
                    raise EngineDead("killed")
                if self._hold_after is not None and count > self._hold_after:
                    await asyncio.Event().wait()
                await asyncio.sleep(0)
                yield Delta(f"{token_ids[count % len(token_ids)]} ", 1, "length" if count == max_tokens else None)
        finally:
            self.open.discard(request_id)

    def stop(self) -> None:
        self.stopped = True
