"""Who is timed, and whether they compute the same."""

import sys
from functools import partial
from typing import Any

from benchmarks import own, peers
from benchmarks.workload import Workload

ALL = "logits:kl+hidden:mse+attention:mse"
ALONE = "student alone"
OURS = "logits + hidden + attention"
BREWER = "TextBrewer"
PEERS = (BREWER, f"{BREWER}, padded to 128", "torchdistill", "Trainer, student alone")
UNSTORED = f"{OURS}, nothing stored"
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


def contenders(work: Workload, knowledge: list[str], others: bool) -> dict[str, Any]:
    """What is timed, by name."""
    found: dict[str, Any] = {
        ALONE: partial(own.epoch, work, "none"),
        OURS: partial(own.epoch, work, ALL),
        **{name: partial(own.epoch, work, name) for name in knowledge},
        f"{ALONE}, bf16": partial(own.epoch, work, "none", True, "bf16"),
        f"{OURS}, bf16": partial(own.epoch, work, ALL, True, "bf16"),
    }
    if others:
        found |= {
            UNSTORED: partial(own.epoch, work, ALL, False),
            PEERS[3]: lambda: peers.trainer(work),
            BREWER: lambda: peers.textbrewer(work, False)[0],
            PEERS[2]: lambda: peers.torchdistill(work)[0],
            PEERS[1]: lambda: peers.textbrewer(work, True)[0],
        }
    return found
