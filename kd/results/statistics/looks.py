"""Contrasts of a study that is looked at several times, with seeds added in between.

The study names beforehand the numbers of seeds of its looks, n_1 < ... < n_K. A contrast counts the
first n_k seeds of the last look that is complete for it, and look k has the share
(n_k - n_(k-1)) / n_K of the error rate (n_0 = 0). The shares add up to 1, so by the union bound the
chance that any look has a false claim is at most the error rate, whatever is decided from the
earlier ones. docs/statistics.md has the simulations.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from kd.results.statistics.fraction import part_of
from kd.results.statistics.intervals import LEVEL, with_interval
from kd.runtime.errors import shown
from kd.study.check import Study
from kd.study.selected import looks_text

Looks = tuple[int, ...]


def read_looks(column: Iterable[str]) -> Looks:
    """The looks in the column `looks` of a record; () where it is blank.

    Raises:
        ValueError: the text is not from `looks_text`, or differs by row.
    """
    texts = sorted({text for text in column if text.strip()})
    if not texts:
        return ()
    numbers = [int(word) if word.isdecimal() else 0 for word in texts[0].split()]
    if len(texts) > 1 or numbers != sorted({*numbers}) or numbers[0] < 2:
        raise ValueError(
            f"looks: found {shown(texts[-1])}, allowed: rising numbers of seeds from 2, as 3 5 8, "
            f"the same in every row"
        )
    return tuple(numbers)


def looks_of(runs: pd.DataFrame) -> Looks:
    """The looks of the study of these runs; () where its number of seeds is fixed."""
    return read_looks(runs["looks"].fillna("").unique()) if "looks" in runs else ()


def changed_looks(frame: pd.DataFrame, study: Study) -> list[str]:
    """A sentence where the looks of the study file are not those with which runs were collected."""
    before, now = read_looks(frame["looks"].fillna("")), looks_text(study)
    if not study.looks or before == study.looks or not (frame["status"] == "done").any():
        return []
    return [
        f"The looks of {study.path.name} are {now}, but its runs were collected "
        f"{'with ' + ' '.join(map(str, before)) if before else 'without looks'}: the intervals "
        f"hold only if nobody chose the looks by the results."
    ]


def share_of(look: int, looks: Looks) -> float:
    """The share of the error rate that the look at so many seeds has; NaN for no look."""
    if look not in looks:
        return np.nan
    before = max((n for n in looks if n < look), default=0)
    return (look - before) / looks[-1]


def at_looks(table: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of runs that count at the last complete look of their contrast.

    A look at n seeds is complete where the first n seeds of each block (one setting on one task)
    are done, in increasing order. A seed with a run that failed is left out, so that a further seed
    takes its place. Which seeds these are does not depend on scores, and does not change later.

    Args:
        table: pairs as of `effects.planned_pairs`.
        runs: the prepared runs that they are made of.

    Returns:
        the pairs, with the column `look`: the number of seeds, or 0 where no look is complete;
        then all pairs are there, without a difference. The table as it is, without looks.
    """
    looks = looks_of(runs)
    if not looks:
        return table
    table = table.assign(state=_states(table, runs), number=table["seed"].astype(int))
    kept = []
    for _, contrast in table.groupby(["a", "b"], sort=False):
        usable = [_usable(block) for _, block in contrast.groupby("block", sort=False)]
        look = max((n for n in looks if n <= min(ready for ready, _ in usable)), default=0)
        if not look:
            kept.append(contrast.assign(look=0, difference=np.nan))
            continue
        places = dict(zip(contrast["block"].unique(), usable, strict=True))
        last = contrast["block"].map({block: own[1][look - 1] for block, own in places.items()})
        inside = (contrast["number"] <= last) & (contrast["state"] == "done")
        kept.append(contrast[inside].assign(look=look))
    every = pd.concat(kept) if kept else table.assign(look=0)
    return every.drop(columns=["state", "number"])


def _usable(block: pd.DataFrame) -> tuple[int, list[int]]:
    """How many of the first seeds of a block are done, and its seeds without failed ones."""
    states: dict[int, set[str]] = {}
    for seed, state in sorted(zip(block["number"], block["state"], strict=True)):
        states.setdefault(seed, set()).add(state)
    left = {seed: own for seed, own in states.items() if own != {"failed"}}
    ready = next((i for i, own in enumerate(left.values()) if "waiting" in own), len(left))
    return ready, list(left)


def _states(table: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Of each pair: done, failed, or waiting for a run that is not made yet.

    Where a part of the grid was run, a unit (a seed on a task) is waiting if any of its runs is.
    """
    status = dict(zip(runs["run"], runs["status"], strict=True))
    waiting = {run for run, own in status.items() if own not in ("done", "failed")}
    if part_of(runs):
        own = runs[runs["run"].isin(waiting)]
        units = set(zip(own["task"], own["seed"], strict=True))
        open_ = [unit in units for unit in zip(table["task"], table["seed"], strict=True)]
    else:
        both = zip(table["run_a"], table["run_b"], strict=True)
        open_ = [not waiting.isdisjoint(own) for own in both]
    done = table["difference"].notna()
    return ["waiting" if o else "done" if d else "failed" for o, d in zip(open_, done, strict=True)]


def corrected(table: pd.DataFrame, looks: Looks) -> pd.DataFrame:
    """`contrasts` with the interval and p value of their look: those of its share of the rate.

    Args:
        table: with the columns mean, error and free of `seed_means`, and `look`.
        looks: of the study.
    """
    share = table["look"].map(lambda look: share_of(look, looks)).astype(float)
    known = table["low"].notna()
    wide = with_interval(table, 1 - (1 - LEVEL) * share)
    return table.assign(
        low=wide["low"].where(known),
        high=wide["high"].where(known),
        p=(table["p"] / share).clip(upper=1),
    )
