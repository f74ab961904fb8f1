"""A predictor as Cog documents it: an async generator, without this package's relay."""

import asyncio

import cog
from cog import AsyncConcatenateIterator, BaseRunner


class CollectingPredictor(BaseRunner):
    """Yields five pieces, 0.2 s apart."""

    @cog.streaming
    async def run(self) -> AsyncConcatenateIterator[str]:
        for number in range(5):
            await asyncio.sleep(0.2)
            yield str(number)
