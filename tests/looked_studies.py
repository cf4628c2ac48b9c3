"""Simulated studies of one axis with looks: many at once, by the project's own test and order."""

from itertools import combinations

import numpy as np
import pandas as pd

from kd.results.advice.further_seeds import chance_of
from kd.results.advice.verdict import LEVEL, Contrast
from kd.results.statistics.intervals import holm, seed_means
from kd.results.statistics.looks import corrected

MARGIN = 0.5
NUMBERS = ["mean", "low", "high", "p_holm", "error", "free", "look"]


def scores_of(effects, studies, tasks, seeds, start=0):
    """(studies, values, tasks, seeds) scores in points: the effect of the value, and noise of 1."""
    rng = np.random.default_rng(start)
    shape = (studies, len(effects), tasks, seeds)
    return np.array(effects)[:, None, None] + rng.normal(0, 1, shape)


def judged(scores, seeds, looks=()):
    """The contrasts of each study, as the guideline judges them: a list of (best, comparisons,
    contrasts of the best value, all significant differences as (better, worse)).

    Args:
        scores: of `scores_of`.
        seeds: (studies, values) that each value has; in a study with looks, one of these.
        looks: of all studies; () for a fixed number of seeds.
    """
    pairs = list(combinations(range(scores.shape[1]), 2))
    parts = []
    for i, (a, b) in enumerate(pairs):
        both = np.minimum(seeds[:, a], seeds[:, b])
        there = np.arange(scores.shape[3]) < both[:, None, None]
        study, task, seed = np.nonzero(np.broadcast_to(there, scores[:, 0].shape))
        gap = scores[study, b, task, seed] - scores[study, a, task, seed]
        part = {"study": study, "pair": i, "stratum": task, "seed": seed, "difference": gap}
        parts.append(pd.DataFrame({**part, "block": task, "look": both[study]}))
    every, keys = pd.concat(parts), ["study", "pair"]
    means = seed_means(every, keys, "difference")
    means = means.assign(look=every.groupby(keys)["look"].first()).sort_index()
    if looks:
        means = corrected(means, looks)
    by_study = means.groupby(level="study")["p"]
    means["p_holm"] = by_study.transform(lambda own: holm(own))
    values = means[NUMBERS].to_numpy().reshape(len(scores), len(pairs), len(NUMBERS))
    return [_judged(pairs, scores.shape[1], own) for own in values]


def _judged(pairs, count, rows):
    table = [dict(zip(NUMBERS, row, strict=True)) for row in rows]
    weight = np.sqrt([row["look"] for row in table])
    design = np.array([[(v == b) - (v == a) for v in range(count)] for a, b in pairs], dtype=float)
    gaps = np.array([row["mean"] for row in table])
    best = int(np.argmax(np.linalg.lstsq(design * weight[:, None], gaps * weight, rcond=None)[0]))
    own, claims = [], set()
    for (a, b), row in zip(pairs, table, strict=True):
        if row["p_holm"] < LEVEL:
            claims.add((b, a) if row["mean"] > 0 else (a, b))
        if best in (a, b):
            sign = 1 if b == best else -1
            ends = sorted((sign * row["low"], sign * row["high"]))
            own.append(
                Contrast(
                    best, a if b == best else b, sign * row["mean"], *ends, row["p_holm"], 1, 1, 1,
                    int(row["look"]), row["error"], row["free"],
                )
            )  # fmt: skip
    return best, len(pairs), own, claims


def open_(contrasts):
    """Those that are neither worse nor equal, as in `advice.judge`."""
    return [c for c in contrasts if not (c.equal(MARGIN) or (c.significant and c.difference > 0))]


def played(scores, looks, one_by_one=True, budget=None):
    """Studies that go on as `kd next` says, one step at a time, until nothing is open.

    Args:
        scores: of `scores_of`.
        looks: of all studies.
        one_by_one: false: every value gets further seeds as long as anything is open.
        budget: runs of a study on each task; None: as many as it takes.

    Returns:
        of each study: runs on a task, (best value, open contrasts) at the end, claims at any time
    """
    studies, values = scores.shape[:2]
    seeds = np.full((studies, values), looks[0])
    claims = [set() for _ in range(studies)]
    ends = [None] * studies
    active = np.arange(studies)
    while len(active):
        going = []
        for study, result in zip(active, judged(scores[active], seeds[active], looks), strict=True):
            best, comparisons, contrasts, claimed = result
            claims[study] |= claimed
            ends[study] = best, open_(contrasts)
            steps = [c for c in open_(contrasts) if c.look < looks[-1]]
            before = seeds[study].copy()
            if steps and one_by_one:
                _extend(seeds[study], steps, looks, comparisons)
            elif steps:
                seeds[study] = min(n for n in looks if n > seeds[study].max())
            if budget and seeds[study].sum() > budget:
                seeds[study] = before
            if (seeds[study] > before).any():
                going.append(study)
        active = np.array(going, dtype=int)
    return seeds.sum(axis=1), ends, claims


def _extend(seeds, steps, looks, comparisons):
    """Give the two values of the best step the seeds of its next look."""

    def rate(c):
        look = min(n for n in looks if n > c.look)
        cost = sum(max(0, look - seeds[v]) for v in (c.value, c.other))
        return chance_of(c, look, looks, comparisons, MARGIN) / max(1, cost)

    best = max(steps, key=rate)
    look = min(n for n in looks if n > best.look)
    for value in (best.value, best.other):
        seeds[value] = max(look, seeds[value])
