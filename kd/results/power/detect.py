"""The power of the paired t test over seeds, on one task or on the average of several.

Sources: the noncentral t distribution (Johnson, Kotz and Balakrishnan 1995, chapter 31) on one
task; on several tasks, and with the noise of dev examples, the same integral over the estimated
variances, by numbers. Differences and standard deviations are in one unit, whichever it is.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats
from scipy.optimize import brentq

POWER = 0.8
MOST = 1000  # seeds: a study with more is out of reach
_POINTS = 2048  # a power of 2, as Sobol's sequence needs
_FAR = 1e-12
_TAIL = 5.0  # beyond, the other tail is below 1e-7, and scipy may give NaN for it


@dataclass(frozen=True)
class Design:
    """One contrast. `spread` has for each task the standard deviation over seeds of its paired
    difference. `alpha` is the level of the two-sided test. `examples` is the standard error of
    the contrast because the dev splits are samples, 0 if only these dev splits matter; `count` is
    the number of their examples."""

    spread: tuple[float, ...]
    alpha: float
    examples: float = 0.0
    count: int = 0


def power(design: Design, seeds: int, difference: float) -> float:
    """The probability that the test finds a true `difference` with so many seeds on each task.

    The test rejects where the mean is beyond the half width of its interval: on one task
    t(1 − α/2, S − 1) · SE, which gives the noncentral t distribution; on several tasks Welch's;
    with `examples` that of the interval over seeds and examples (docs/statistics.md).
    """
    if seeds < 2:
        return 0.0
    if len(design.spread) == 1 and not design.examples:
        free, shift = seeds - 1, difference * np.sqrt(seeds) / design.spread[0]
        limit = stats.t.ppf(1 - design.alpha / 2, free)
        below = stats.nct.cdf(-limit, free, shift) if shift < _TAIL else 0.0
        return float(stats.nct.sf(limit, free, shift) + below)
    half, error = _half_widths(design, seeds)
    over = stats.norm.cdf((difference - half) / error)
    return float((over + stats.norm.cdf((-difference - half) / error)).mean())


@lru_cache(maxsize=4096)
def _half_widths(design: Design, seeds: int) -> tuple[np.ndarray, float]:
    """(points,) equally likely half widths, and the true standard error of the mean difference.

    An estimated variance over S seeds is the true one times a chi-squared number over S - 1, and
    independent of the mean.
    """
    tasks, free = len(design.spread), seeds - 1
    true = np.square(design.spread) / seeds
    estimates = true * _chi_squared(tasks, free)
    total = estimates.sum(axis=1)
    freedom = total**2 / (estimates**2 / free).sum(axis=1)
    half = stats.t.ppf(1 - design.alpha / 2, freedom) * np.sqrt(total) / tasks
    if design.examples:
        wide = stats.t.ppf(1 - design.alpha / 2, design.count - 1) * design.examples
        half = np.hypot(half, wide)
    return half, float(np.hypot(np.sqrt(true.sum()) / tasks, design.examples))


@lru_cache(maxsize=256)
def _chi_squared(tasks: int, free: int) -> np.ndarray:
    """(points, tasks) chi-squared numbers over their degrees of freedom, evenly spread."""
    if tasks == 1:
        places = (np.arange(_POINTS)[:, None] + 0.5) / _POINTS
    else:
        places = stats.qmc.Sobol(tasks, rng=np.random.default_rng(0)).random(_POINTS)
    numbers: np.ndarray = stats.chi2.ppf(np.clip(places, _FAR, 1 - _FAR), free) / free
    return numbers


@lru_cache(maxsize=4096)
def smallest(design: Design, seeds: int) -> float | None:
    """The smallest true difference that the test finds with probability 0.8; None for one seed."""
    if seeds < 2:
        return None
    high = max(max(design.spread), design.examples)
    while power(design, seeds, high) < POWER:
        high *= 2
    return float(brentq(lambda gap: power(design, seeds, gap) - POWER, 0.0, high, xtol=high * 1e-6))


@lru_cache(maxsize=4096)
def needed(design: Design, difference: float) -> int | None:
    """The fewest seeds that find a true `difference` with probability 0.8; None above MOST."""
    if difference <= never(design) or power(design, MOST, difference) < POWER:
        return None
    low, high = 1, 2
    while power(design, high, difference) < POWER:
        low, high = high, min(2 * high, MOST)
    while high - low > 1:
        middle = (low + high) // 2
        if power(design, middle, difference) < POWER:
            low = middle
        else:
            high = middle
    return high


def never(design: Design) -> float:
    """The difference that no number of seeds can find with probability 0.8, nor a smaller one.

    With very many seeds only the noise of the dev examples is left. 0 without it.
    """
    if not design.examples:
        return 0.0
    limit = stats.t.ppf(1 - design.alpha / 2, design.count - 1)
    return float((limit + stats.norm.ppf(POWER)) * design.examples)
