"""The Cog predictor: inputs, start-up, one prediction, health. Everything else is in utils/."""

import functools
import os
from collections.abc import AsyncIterator
from typing import Any, Optional

import cog
from cog import BaseRunner, ConcatenateIterator, Input, Path

from utils import schema
from utils.cog_streaming import Relay, make_cancellable
from utils.config import config_path, load_config
from utils.service import Measurements, Service


class Inputs:
    """Cog reads these without running the file: each default, bound and description is one literal.

    They repeat those of utils/request.py; a test holds the two together.
    """

    prompt: Optional[str] = Input(description="What to answer. Give this or messages.", default=None)
    system_prompt: Optional[str] = Input(
        description="How the model should behave; an empty text sends none.", default=None
    )
    messages: Optional[list[dict]] = Input(
        description="A conversation instead of prompt: objects with role (system, user, assistant) and content.",
        default=None,
    )
    prompt_template: Optional[str] = Input(
        description="Instead of the model's own: a name from prompt_templates.py, or text with {prompt} in it.",
        default=None,
    )
    max_tokens: int = Input(description="The most tokens to generate.", default=512, ge=1)
    min_tokens: int = Input(description="The fewest tokens to generate.", default=0, ge=0)
    temperature: float = Input(
        description="Randomness of the answer; 0 always takes the likeliest token.", default=0.6, ge=0, le=2
    )
    top_p: float = Input(
        description="Sample from the likeliest tokens that reach this probability together.", default=0.9, ge=0, le=1
    )
    top_k: int = Input(
        description="Sample from this many likeliest tokens; 0 or -1 from all.", default=50, ge=-1, le=2147483647
    )
    presence_penalty: float = Input(
        description="Above 0, tokens that are in the answer already get less likely.", default=0.0, ge=-2, le=2
    )
    frequency_penalty: float = Input(
        description="Above 0, tokens get less likely each time they are in the answer already.",
        default=0.0,
        ge=-2,
        le=2,
    )
    stop_sequences: Optional[str] = Input(
        description="Texts that end the answer, parted by commas; a backslash before a comma keeps it.", default=None
    )
    seed: Optional[int] = Input(
        description="The same seed gives the same answer; without one, each answer is new.",
        default=None,
        ge=0,
        le=9007199254740991,
    )
    sampling_params: Optional[dict[str, Any]] = Input(
        description="Further fields of vLLM's SamplingParams, such as repetition_penalty or min_p.", default=None
    )


class Predictor(BaseRunner):
    """Serves the model of config.yaml."""

    async def setup(self, weights: Optional[Path] = None) -> None:
        """Start the service and write the schema that fits its model; Cog passes COG_WEIGHTS as `weights`."""
        report = functools.partial(print, "[cog-vllm]", flush=True)
        config = load_config(config_path(os.environ), os.environ)
        make_cancellable()
        self.relay = Relay()
        self.service = await Service.start(config, source=str(weights) if weights else None, report=report)
        inputs = schema.fitted_inputs(schema.input_schema(Inputs), self.service.limits)
        schema.write(schema.document(inputs), report)

    async def healthcheck(self) -> bool:
        """Tell Cog whether the engine lives."""
        return self.service.healthy

    @cog.streaming
    @cog.concurrent(max=128)
    async def run(
        self,
        prompt: Optional[str] = Inputs.prompt,
        system_prompt: Optional[str] = Inputs.system_prompt,
        messages: Optional[list[dict]] = Inputs.messages,
        prompt_template: Optional[str] = Inputs.prompt_template,
        max_tokens: int = Inputs.max_tokens,
        min_tokens: int = Inputs.min_tokens,
        temperature: float = Inputs.temperature,
        top_p: float = Inputs.top_p,
        top_k: int = Inputs.top_k,
        presence_penalty: float = Inputs.presence_penalty,
        frequency_penalty: float = Inputs.frequency_penalty,
        stop_sequences: Optional[str] = Inputs.stop_sequences,
        seed: Optional[int] = Inputs.seed,
        sampling_params: Optional[dict[str, Any]] = Inputs.sampling_params,
    ) -> ConcatenateIterator[str]:
        """Answer one prompt or conversation, piece by piece."""
        inputs = {name: value for name, value in locals().items() if name != "self"}
        return self.relay.stream(self._answer(inputs))  # type: ignore[return-value]

    async def _answer(self, inputs: dict[str, Any]) -> AsyncIterator[str]:
        measured = Measurements()
        try:
            async for text in self.service.stream(inputs, measured):
                yield text
        finally:
            for name, value in measured.metrics().items():
                self.record_metric(name, value)
