"""The demo model's chat template, once as Jinja for its users and once as Python for its training."""

from collections.abc import Sequence

Message = tuple[str, str]
"""A role ("system", "user" or "assistant") and what was said."""

BOS = "<s>"
START = "<|im_start|>"
END = "<|im_end|>"
PAD = "<pad>"
SPECIAL_TOKENS = (PAD, BOS, START, END)
"""In the order of their token ids, 0 to 3."""

GENERATION_PROMPT = f"{START}assistant\n"

TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def turn(role: str, content: str) -> str:
    """Render one closed message."""
    return f"{START}{role}\n{content}{END}\n"


def render(messages: Sequence[Message], *, bos: str = BOS, generation_prompt: bool = True) -> str:
    """Render messages as `TEMPLATE` does; `bos` can be spoilt to make a fault."""
    turns = "".join(turn(role, content) for role, content in messages)
    return bos + turns + (GENERATION_PROMPT if generation_prompt else "")
