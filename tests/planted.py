"""Grids of made-up scores with planted effects."""

import numpy as np
from fake_runs import grid

TASKS = ["rte", "qnli", "sst2"]


SEEDS = ["1", "2", "3"]


KNOWLEDGE = ["none", "logits", "logits+hidden", "logits+attention"]


MAPPINGS = ["first", "last", "emd", "uniform"]


def noisy(effect, noise=0.005, start=0, **axes):
    """A grid whose score is 0.65 and the cell's effect, with runs that spread by `noise`."""
    rng = np.random.default_rng(start)
    axes = {"task": TASKS, "seed": SEEDS} | axes
    return grid(lambda c: 0.65 + effect(c) + rng.normal(0, noise), **axes)


def by(axis, **effects):
    """The effect of a cell is that of its value on `axis`, 0 where it is not named."""
    return lambda cell: effects.get(cell[axis].replace("logits+", ""), 0)


def lose(frame, **where):
    """The frame with the runs of these axis values missing."""
    lost = (frame[list(where)] == list(where.values())).all(axis=1)
    status = frame["status"].mask(lost, "missing")
    return frame.assign(score=frame["score"].mask(lost), status=status)


def open_leader():
    """The leading value is noisy: nothing is better than it, but the last is worse than another."""
    rng = np.random.default_rng(0)
    spread = {"first": 0.001, "last": 0.001, "emd": 0.12}
    effects = {"first": 0.03, "last": 0.0, "emd": 0.04}
    frame = grid(
        lambda c: 0.65 + effects[c["mapping"]] + rng.normal(0, spread[c["mapping"]]),
        task=TASKS, seed=SEEDS, mapping=list(effects),
    )  # fmt: skip
    own = frame.mapping == "emd"
    frame.loc[own, "score"] += 0.69 - frame.loc[own, "score"].mean()
    return frame
