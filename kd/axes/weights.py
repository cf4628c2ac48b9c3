"""Weights that may change during the training: `0.5`, `0..1`, `1%50-100`, `1..0%0-50`.

`A..B` runs linearly from A to B; `%FROM-TO` is the part of the training, in percent of its steps,
in which the weight counts at all. Linear growth and decay are `0..1` and `1..0` (TextBrewer has
both); stages that follow each other are windows: `hidden*1%0-80+logits*1%80-100`.
"""

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from kd.runtime.errors import UserError, shown

RAMP_SOURCE, WINDOW_SOURCE = "TextBrewer", "TinyBERT's stages"
BALANCED_SOURCE = "Minitron (arXiv:2407.14679), section 3"
_NUMBER = r"\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_WEIGHT = re.compile(rf"({_NUMBER})(?:\.\.({_NUMBER}))?(?:%({_NUMBER})-({_NUMBER}))?")
ALLOWED = "a number above 0, START..END, and a window %FROM-TO after either"


@dataclass(frozen=True)
class Weight:
    """Linear from `start` to `end` over the window `since` to `until` (percent), and 0 outside."""

    start: float = 1.0
    end: float = 1.0
    since: float = 0.0
    until: float = 100.0

    def __str__(self) -> str:
        return format(self)

    def __format__(self, spec: str) -> str:
        spec = spec or ".12g"
        ramp = "" if self.start == self.end else f"..{self.end:{spec}}"
        whole = (self.since, self.until) == (0, 100)
        window = "" if whole else f"%{self.since:.12g}-{self.until:.12g}"
        return f"{self.start:{spec}}{ramp}{window}"

    @property
    def constant(self) -> bool:
        """The same at every step."""
        return self.start == self.end and (self.since, self.until) == (0, 100)

    def scaled(self, factor: float) -> "Weight":
        """The same schedule with every value times `factor`, to 12 digits."""
        start, end = (float(f"{value * factor:.12g}") for value in (self.start, self.end))
        return Weight(start, end, self.since, self.until)

    @property
    def peak(self) -> float:
        """The largest value it takes."""
        return max(self.start, self.end)

    def share(self, progress: float) -> float:
        """The part of the window that has passed at `progress` of the training; both 0 to 1."""
        passed = (_percent(progress) - self.since) / (self.until - self.since)
        return min(max(passed, 0.0), 1.0)

    def at(self, progress: float) -> float:
        """The weight at `progress` (0 to below 1) of the training."""
        if not self.since <= _percent(progress) < self.until:
            return 0.0
        return self.start + (self.end - self.start) * self.share(progress)


def _percent(progress: float) -> float:
    return round(100 * progress, 9)  # 100 * (29 / 100) is just below 29


ONE = Weight()


@cache
def parse_weight(text: str) -> Weight:
    """Read a weight.

    Raises:
        UserError: the text is no weight, the weight is never above 0, or the window is empty or
            outside 0 to 100.
    """
    match = _WEIGHT.fullmatch(text.strip())
    if not match:
        raise UserError(f"found {shown(text)}, allowed: {ALLOWED}, such as 0.5, 0..1, 1..0%0-50")
    start, since, until = float(match[1]), float(match[3] or 0), float(match[4] or 100)
    weight = Weight(start, float(match[2]) if match[2] else start, since, until)
    if not 0 < weight.peak < 1e9:
        raise UserError(f"found {shown(text)}, allowed: {ALLOWED}")
    if not 0 <= since < until <= 100:
        raise UserError(f"found {shown(text)}: the window must lie within 0-100 percent")
    return weight


def as_weight(value: float | str) -> Weight:
    """A number (which may be 0), or the text of a schedule, as a weight."""
    return parse_weight(value) if isinstance(value, str) else Weight(value, value)


def idle_part(weights: list[Weight]) -> tuple[float, float] | None:
    """The first part of the training (percent) in which all the weights are 0, or None."""
    bounds = sorted({0.0, 100.0, *(w.since for w in weights), *(w.until for w in weights)})
    for low, high in pairwise(bounds):
        if not any(weight.at((low + high) / 200) > 0 for weight in weights):
            return low, high
    return None
