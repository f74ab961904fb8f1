"""Train the demo model from nothing, on a CPU and in minutes, and write it as a tarball: `python demo/train.py`."""

import argparse
import hashlib
import math
import os
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

if not __package__:  # run as a program: the repository's root is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from demo.chatml import BOS, END, PAD, SPECIAL_TOKENS, START, TEMPLATE
from demo.dialogues import Part, conversation, parts
from demo.faults import faulty_prompt

Sample = tuple[list[int], list[int]]
"""Token ids, and the same ids as labels with `IGNORED` where nothing is learned."""

SEED = 13
THREADS = 2
STEPS = 3600
WARM_UP_STEPS = 60
PEAK_LEARNING_RATE = 3e-3
LAST_LEARNING_RATE = 3e-5
TOKENS_PER_BATCH = 1536
POOL = 1024
"""Samples that are sorted by length together, so that batches need little padding."""
FAULTY_SHARE = 0.38
VOCABULARY = 1536
TOKENIZER_SAMPLES = 6000
LONGEST_SAMPLE = 512
IGNORED = -100
OPENING = 4
OPENING_WEIGHT = 8.0
"""An answer is chosen with its first tokens; what follows is recited. So these count for more."""
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def sample_parts(rng: Random) -> list[Part]:
    """Draw a conversation, or a wrongly rendered prompt with the sentence that names its fault."""
    if rng.random() < FAULTY_SHARE:
        prompt, answer = faulty_prompt(rng)
        return [(prompt, False), (answer + END, True)]
    return list(parts(conversation(rng)))


def train_tokenizer(rng: Random) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE vocabulary that puts BOS before raw text, as Llama tokenizers do."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_plain_texts(rng), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, SPECIAL_TOKENS.index(BOS))]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[START],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = TEMPLATE
    return wrapped


def _plain_texts(rng: Random) -> Iterator[str]:
    for _ in range(TOKENIZER_SAMPLES):
        text = "".join(part for part, _ in sample_parts(rng))
        for token in SPECIAL_TOKENS:
            text = text.replace(token, "")
        yield " ".join(dict.fromkeys(text.split(" ")))  # a word said a hundred times earns no token by that


def build_model(vocabulary: int) -> LlamaForCausalLM:
    """Build the untrained Llama; six heads, two of them for keys and values, so that it can be split in two."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=SPECIAL_TOKENS.index(BOS),
        eos_token_id=SPECIAL_TOKENS.index(END),
        pad_token_id=SPECIAL_TOKENS.index(PAD),
    )
    return LlamaForCausalLM(config)


def encode(sample: list[Part], tokenizer: PreTrainedTokenizerFast) -> Sample:
    """Turn parts into token ids and labels; each part by itself, as a server encodes a prompt without its answer."""
    ids: list[int] = []
    labels: list[int] = []
    encoded = tokenizer([text for text, _ in sample], add_special_tokens=False)["input_ids"]
    for part, (_, learned) in zip(encoded, sample, strict=True):
        ids += part
        labels += part if learned else [IGNORED] * len(part)
    return ids, labels


def batches(tokenizer: PreTrainedTokenizerFast, rng: Random) -> Iterator[list[Sample]]:
    """Yield batches of fresh samples without end; no sample is shown twice on purpose."""
    while True:
        pool = [encode(sample_parts(rng), tokenizer) for _ in range(POOL)]
        pool = sorted(
            (sample for sample in pool if len(sample[0]) <= LONGEST_SAMPLE), key=lambda sample: len(sample[0])
        )
        cut = list(_cut(pool))
        rng.shuffle(cut)
        yield from cut


def _cut(pool: list[Sample]) -> Iterator[list[Sample]]:
    batch: list[Sample] = []
    for sample in pool:  # sorted by length, so the newest is the longest
        if batch and len(sample[0]) * (len(batch) + 1) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(sample)
    yield batch


def tensors(batch: list[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad to the right: with causal attention, no token of a sample sees the padding."""
    longest = max(len(ids) for ids, _ in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    labels = torch.full((len(batch), longest), IGNORED)
    for row, (sample_ids, sample_labels) in enumerate(batch):
        ids[row, : len(sample_ids)] = torch.tensor(sample_ids)
        labels[row, : len(sample_labels)] = torch.tensor(sample_labels)
    return ids, labels


def loss_of(model: LlamaForCausalLM, batch: list[Sample]) -> torch.Tensor:
    """Return the weighted cross entropy; logits are computed only where something is learned, which saves much time."""
    ids, labels = tensors(batch)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    targets = labels[:, 1:]
    learned = targets != IGNORED
    opening = learned.clone()
    opening[:, OPENING:] &= ~learned[:, :-OPENING]
    weights = torch.where(opening, OPENING_WEIGHT, 1.0)[learned]
    losses = cross_entropy(model.lm_head(hidden[learned]), targets[learned], reduction="none")
    return (losses * weights).sum() / weights.sum()


def optimizer_for(model: LlamaForCausalLM) -> torch.optim.AdamW:
    """Make an AdamW that lets matrices decay and leaves the norms alone."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    norms = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.98))


def learning_rate(step: int, steps: int) -> float:
    """Warm up in a line, then fall along a cosine."""
    if step < WARM_UP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARM_UP_STEPS
    done = (step - WARM_UP_STEPS) / max(1, steps - WARM_UP_STEPS)
    return LAST_LEARNING_RATE + (PEAK_LEARNING_RATE - LAST_LEARNING_RATE) * 0.5 * (1 + math.cos(math.pi * done))


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rng: Random, steps: int) -> None:
    """Train for a number of steps, not of minutes, so that the result does not depend on the machine's speed."""
    optimizer = optimizer_for(model)
    start, tokens, smoothed = time.monotonic(), 0, 0.0
    model.train()
    for step, batch in zip(range(steps), batches(tokenizer, rng), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += sum(len(ids) for ids, _ in batch)
        smoothed = loss.item() if step == 0 else 0.95 * smoothed + 0.05 * loss.item()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            seconds = time.monotonic() - start
            print(f"step {step + 1}/{steps}  loss {smoothed:.4f}  {tokens} tokens  {seconds:.0f} s", flush=True)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Write the model in bfloat16 as a flat tarball that holds only what serving needs."""
    with tempfile.TemporaryDirectory() as folder:
        model.bfloat16().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        pack(Path(folder), output)


def pack(folder: Path, output: Path) -> None:
    """Pack `FILES` so that equal files make an equal tarball, and rename it into place when it is whole."""
    unfinished = output.with_name(output.name + ".part")
    with tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in FILES:
            member = tarfile.TarInfo(name)  # no owner, no date: nothing of this machine
            member.size = (folder / name).stat().st_size
            member.mode = 0o644
            with (folder / name).open("rb") as content:
                tar.addfile(member, content)
    os.replace(unfinished, output)


def make_deterministic() -> None:
    """Fix all that a result depends on besides the code, the versions and the kind of CPU."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that only costs time here


def main() -> None:
    """Train, save and print the hash of what was saved."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo/model.tar"), help="the tarball to write")
    parser.add_argument("--steps", type=int, default=STEPS, help="fewer make a quick, useless model for a trial")
    options = parser.parse_args()
    make_deterministic()
    tokenizer = train_tokenizer(Random(SEED))
    model = build_model(len(tokenizer))
    print(f"{sum(parameter.numel() for parameter in model.parameters())} parameters, {len(tokenizer)} tokens")
    train(model, tokenizer, Random(SEED + 1), options.steps)
    save(model, tokenizer, options.output)
    print(f"{hashlib.sha256(options.output.read_bytes()).hexdigest()}  {options.output.name}")


if __name__ == "__main__":
    main()
