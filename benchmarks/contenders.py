"""Who is timed, and whether they compute the same."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import own, peers
from benchmarks.workload import Workload

ALL = "logits:kl+hidden:mse+attention:mse"
ALONE = "student alone"
OURS = "logits + hidden + attention"
BREWER = "TextBrewer"
PADDED = "TextBrewer, padded to 128"
TORCHDISTILL = "torchdistill"
TRAINER = "Trainer, student alone"
UNSTORED = f"{OURS}, nothing stored"
SLOW = (UNSTORED, BREWER, TORCHDISTILL, PADDED)
_SLOW_STEPS = 2
# One type for each cost; other relations cost what these do.
TYPES = (
    *("logits", "embedding", "hidden", "cls", "pooled", "attention", "attention-scores"),
    *("value-relation", "query-key-relation", "token-triplet-angle", "layer-relation"),
)
_TOLERANCE = 2e-3  # of the loss: the stored teacher is in half precision


def check_losses(work: Workload) -> dict[str, list[float]]:
    """The loss of one batch, ours and theirs; stops the benchmark where they differ."""
    rows = work.same_length()
    brewed = ALL.replace("kl", "ce")  # TextBrewer's soft labels: the same gradient
    found = {}
    for name, text, peer in (
        ("TextBrewer", brewed, lambda: peers.textbrewer(work, False)),
        ("torchdistill", ALL, lambda: peers.torchdistill(work)),
    ):
        batch = peers.Batches(work, False).batch(rows)
        found[name] = [own.loss(work, text, rows), peer()[1](batch).item()]
        ours, theirs = found[name]
        if abs(ours - theirs) > _TOLERANCE * abs(theirs):
            sys.exit(f"error: {work.name}: the loss is {ours} here and {theirs} in {name}")
    return found


@dataclass(frozen=True)
class Contender:
    """`prepare` returns what is timed; it trains `steps` batches."""

    prepare: Callable[[], Callable[[], Any]]
    steps: int


def contenders(work: Workload, knowledge: list[str], others: bool) -> dict[str, Contender]:
    """Who is timed, by name; the slow ones train no more than the first batches of an epoch."""

    def ours(text: str, precision: str = "fp32") -> Contender:
        return Contender(partial(own.epoch, work, text, True, precision), work.steps)

    found = {
        ALONE: ours("none"),
        OURS: ours(ALL),
        **{name: ours(name) for name in knowledge},
        f"{ALONE}, bf16": ours("none", "bf16"),
        f"{OURS}, bf16": ours(ALL, "bf16"),
    }
    if others:
        few = min(_SLOW_STEPS, work.steps)
        found |= {
            UNSTORED: Contender(partial(own.epoch, work, ALL, False, "fp32", few), few),
            TRAINER: Contender(lambda: peers.trainer(work), work.steps),
            BREWER: Contender(lambda: peers.textbrewer(work, False, few)[0], few),
            TORCHDISTILL: Contender(lambda: peers.torchdistill(work, few)[0], few),
            PADDED: Contender(lambda: peers.textbrewer(work, True, few)[0], few),
        }
    return found
