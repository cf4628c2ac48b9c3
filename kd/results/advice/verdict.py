"""The parts of a judgement of an axis: plain data, with numbers in points."""

from dataclasses import dataclass

import numpy as np

LEVEL = 0.05  # of the tests, after correction
_SHARE = 2 / 3  # of the tasks, and of the settings, in which a strong finding must hold


@dataclass(frozen=True)
class Contrast:
    """Score of `value` minus that of `other`, in points, over pairs of runs that differ only in it.

    `low` and `high` are the 95 % interval, not corrected; `p` is corrected (Holm). NaN: unknown.
    `error` is the standard error, in points, with `free` degrees of freedom. In a study with looks
    `look` is the number of seeds of the last complete one, 0 for none; interval and p hold for all
    looks together. `whole`: each planned task has a finished pair.
    """

    value: str
    other: str
    difference: float
    low: float
    high: float
    p: float
    pairs: int
    planned: int
    seeds: int
    look: int = 0
    error: float = np.nan
    free: float = np.nan
    whole: bool = True

    @property
    def significant(self) -> bool:
        """Whether the two differ."""
        return self.p < LEVEL

    def equal(self, margin: float) -> bool:
        """Whether the two differ by no more than `margin` points, with all of the interval, and on
        all planned tasks."""
        return self.whole and -margin <= self.low and self.high <= margin


@dataclass(frozen=True)
class Breadth:
    """On how many tasks, and in how many settings of the other axes, the best value leads.

    It leads where it beats the average of the other values; `alone` counts the tasks where it beats
    each of them. `lost`: (where, by how many points) for where it does not lead.
    """

    tasks_led: int
    tasks_alone: int
    tasks_done: int
    tasks: int
    settings_led: int
    settings_done: int
    settings: int
    lost: tuple[tuple[str, float], ...]

    @property
    def broad(self) -> bool:
        """Whether it leads on most tasks and in most settings."""
        return self.tasks_led >= _SHARE * self.tasks and self.settings_led >= _SHARE * self.settings


@dataclass(frozen=True)
class Partner:
    """An axis with which a significant interaction was found: share of the variance in percent, and
    for each of its values the value that leads there, over the best one or else the next."""

    axis: str
    share: float
    p: float
    leads: tuple[tuple[str, Contrast], ...]


@dataclass(frozen=True)
class Step:
    """A student of the Pareto front: cost in GFLOPs, score in points, its lead over the one before
    (None for the first)."""

    student: str
    cost: float
    score: float
    lead: Contrast | None


@dataclass(frozen=True)
class Advice:
    """An answer to one question.

    `strength` is strong, moderate, weak, none, trade-off (students of no equal size), mixed (clear,
    but interactions may be part of it in the part of the grid that was run) or open (not answered
    here, and `why` says the reason: chance, held, follows, undone, mixed). `best` is '' where
    there is none. `equal`, `not_worse` and `worse` hold the best value's contrasts to the others by
    size, `elsewhere` the significant ones among the others. `lost` has (value, missing, planned).
    `seeds` is the smallest number of seeds behind a contrast of the best value.
    """

    axis: str
    question: str
    strength: str
    why: str = ""
    best: str = ""
    equal: tuple[Contrast, ...] = ()
    not_worse: tuple[Contrast, ...] = ()
    worse: tuple[Contrast, ...] = ()
    elsewhere: tuple[Contrast, ...] = ()
    higher: tuple[str, ...] = ()  # values with a higher mean, but less than half of their pairs
    apart: tuple[str, ...] = ()  # values that no setting was planned to compare with the best
    mixed: str = ""  # what the part of the grid that was run cannot tell it apart from, in words
    breadth: Breadth | None = None
    share: float = np.nan  # of the variance within tasks, in percent
    share_p: float = np.nan
    noise: float = np.nan  # the seeds' share of it, in percent
    partners: tuple[Partner, ...] = ()
    lost: tuple[tuple[str, int, int], ...] = ()
    values: tuple[str, ...] = ()
    comparisons: int = 0  # pairs of values that were tested, for which p is corrected
    largest: str = ""  # the larger of two teachers
    dev_error: float = np.nan  # standard error of a mean score on the dev splits, in points
    size: str = ""  # that the judged students share
    sizes: tuple["Advice", ...] = ()  # the same question at the other sizes
    steps: tuple[Step, ...] = ()
    seeds: int = 0
    tasks: tuple[str, ...] = ()

    @property
    def ahead(self) -> tuple[Contrast, ...]:
        """Those of `not_worse` that are significantly better, but have too few pairs to lead."""
        return tuple(c for c in self.not_worse if c.significant and c.difference < 0)

    @property
    def unsure(self) -> tuple[Contrast, ...]:
        """Those of `not_worse` that are not significantly different."""
        return tuple(c for c in self.not_worse if c not in self.ahead)

    @property
    def others(self) -> list[Contrast]:
        """The contrasts of the best value, sorted by size."""
        known = [c for c in (*self.equal, *self.not_worse, *self.worse) if c.pairs]
        return sorted(known, key=lambda contrast: contrast.difference)
