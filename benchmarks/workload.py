"""What every contender trains: the same random examples, student and teacher."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel

from kd.axes.shapes import Shape, parse_shape
from kd.data.tokens import Split
from kd.encoders.build import build_random, shaped_config

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MAX_LENGTH = 128
# Tokens of an example are quantiles of a lognormal distribution with this standard deviation of
# their logarithm: drawn ones would have outliers, which weigh too much among few examples.
_SPREAD = 0.5
NAMES = {13: "SST-2-like", 65: "RTE-like"}  # by the mean tokens of an example


class Silent:
    """A progress that no one sees."""

    def start(self, phase: str, total: int, done: int = 0, tokens: int = 0) -> None:
        """Do nothing."""

    def advance(self, note: str = "") -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Workload:
    """Random weights train as fast as others; `folder` holds the teacher's stored outputs."""

    name: str
    split: Split
    student: Shape
    teacher: Shape
    batch_size: int
    folder: Path

    def model(self, shape: Shape, attention: str = "sdpa") -> PreTrainedModel:
        """The same random weights at each call."""
        torch.manual_seed(0)
        config = shaped_config(AutoConfig.for_model("bert"), shape)
        config._attn_implementation = attention
        return build_random(config)

    @property
    def tokens(self) -> int:
        """Of all examples."""
        return int(self.split.offsets[-1])

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-len(self.split) // self.batch_size)

    def same_length(self, count: int = 4) -> torch.Tensor:
        """Rows of examples of one length: a batch without padding."""
        length = self.split.lengths.mode().values
        return (self.split.lengths == length).nonzero()[:count, 0]


def workload(
    mean_tokens: int, examples: int, student: str, teacher: str, batch_size: int, folder: Path
) -> Workload:
    """Examples of up to 128 random tokens, with two classes."""
    name = NAMES.get(mean_tokens, f"mean {mean_tokens}")
    generator = torch.Generator().manual_seed(0)
    centre = math.log(mean_tokens) - _SPREAD**2 / 2
    quantiles = torch.special.ndtri((torch.arange(examples, dtype=torch.float64) + 0.5) / examples)
    lengths = (quantiles * _SPREAD + centre).exp().round().long().clamp(4, MAX_LENGTH)
    lengths = lengths[torch.randperm(examples, generator=generator)]
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    total = int(offsets[-1])
    flat = {
        "input_ids": torch.randint(1000, 30522, (total,), generator=generator).int(),
        "token_type_ids": torch.zeros(total, dtype=torch.int32),
    }
    labels = torch.randint(0, 2, (examples,), generator=generator)
    split = Split(flat, offsets, labels, torch.arange(examples), padding=0)
    shapes = parse_shape(student), parse_shape(teacher)
    return Workload(name, split, *shapes, batch_size, folder / name)


def recipe(work: Workload, precision: str = "fp32") -> dict[str, Any]:
    """One epoch, as the training loop takes it."""
    return {
        "epochs": 1,
        "batch_size": work.batch_size,
        "learning_rate": 5e-5,
        "weight_decay": 0.01,
        "warmup": 0.1,
        "max_grad_norm": 1.0,
        "precision": precision,
        "seed": 1,
    }
