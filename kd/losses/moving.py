"""Mappings that choose: the layer pairs that count at a moment of the training."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from kd.axes.mappings import Pairs, by_student, mapping_row
from kd.runtime.errors import UserError, shown


@dataclass(frozen=True)
class Moment:
    """How far a training is: `step` of `total` and `epoch`, both from 0, and the run's seed."""

    step: int
    total: int
    epoch: int
    seed: int

    @property
    def progress(self) -> float:
        """The share of the training that is done, from 0 to below 1."""
        return self.step / self.total

    @property
    def step_seed(self) -> int:
        """The seed of what is drawn anew at this step."""
        return self.seed * 1_000_003 + self.step


def one_in_block(pairs: Pairs, moment: Moment, share: float) -> Pairs:
    """One pair for each student layer, drawn again at each step."""
    draw = random.Random(f"block {moment.seed} {moment.step}")
    return tuple((draw.choice(layers), s) for s, layers in by_student(pairs).items())


def one_choice_an_epoch(pairs: Pairs, moment: Moment, share: float) -> Pairs:
    """As many teacher layers as student layers, in order, drawn again in each epoch."""
    students, teachers = sorted({s for _, s in pairs}), sorted({t for t, _ in pairs})
    draw = random.Random(f"epoch {moment.seed} {moment.epoch}")
    if len(students) > len(teachers):
        chosen = sorted(draw.choices(teachers, k=len(students)))
    else:
        chosen = sorted(draw.sample(teachers, len(students)))
    return tuple(zip(chosen, students, strict=True))


def first_share(pairs: Pairs, moment: Moment, share: float) -> Pairs:
    """The pairs of the lowest student layers, with one more layer in each S-th part of the time."""
    students = sorted({s for _, s in pairs})
    passed = int(round(share * len(students), 9))  # 3 * (1 / 3) may be just below 1
    reached = students[min(passed, len(students) - 1)]
    return tuple(pair for pair in pairs if pair[1] <= reached)


# Functions of (all pairs, moment, share of the term's time that has passed).
CHOICES: dict[str, Callable[[Pairs, Moment, float], Pairs]] = {
    "random-in-block": one_in_block,
    "random-per-epoch": one_choice_an_epoch,
    "progressive": first_share,
}


def active_pairs(mapping: str, pairs: Pairs, moment: Moment, share: float) -> Pairs:
    """The pairs that count at a moment; all pairs if the mapping does not choose."""
    if mapping in CHOICES:
        return CHOICES[mapping](pairs, moment, share)
    row = mapping_row(mapping)
    if row is None or row.choose is None:
        return pairs
    chosen = tuple(row.choose(pairs, moment, share))
    if not chosen or not {*chosen} <= {*pairs}:
        raise UserError(
            f"mapping {mapping}: at step {moment.step} it chose {shown(chosen)}, allowed: one or "
            f"more of its pairs {shown(pairs)}"
        )
    return chosen
