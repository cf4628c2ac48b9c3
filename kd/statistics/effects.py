"""Which axis matters, how much, and which of its values is better: like with like."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from kd.statistics.intervals import holm, seed_means
from kd.statistics.runs import ALIAS, AVERAGE, IDLE, disagreements, levels, studied

SEEDS, REST = "seeds", "higher interactions"
_SMALL = 1e-9


def variance(frame: pd.DataFrame) -> pd.DataFrame:
    """Where the variance of the score comes from: axes, their pairs, axes by task, seeds.

    `frame` has runs as read. Tasks differ in level, which is taken out first: shares are of the
    sum of squares within tasks. Each axis is adjusted for all others, each pair for all axes. A run
    that stands for several values counts as their mean; one that an axis cannot affect as its mean
    over all. The noise is the spread of seeds within a cell.

    Returns:
        Columns term, df, share (eta squared), unbiased (omega squared, 0 in the mean where there
        is no effect), F, p, p_holm (over all terms); rows of `SEEDS` and `REST` without a test.
    """
    done = frame[frame["score"].notna() & (frame["task"] != AVERAGE)]
    names = studied(done)
    columns = ["term", "df", "share", "unbiased", "F", "p", "p_holm"]
    if len(done) < 3 or not names:
        return pd.DataFrame(columns=columns)
    score = 100 * done["score"].to_numpy(float)
    score = score - done.groupby("task")["score"].transform("mean").to_numpy() * 100
    total = float(score @ score)
    if total < _SMALL:
        return pd.DataFrame(columns=columns)
    codes = {name: _codes(done[name]) for name in names}
    # Tasks may differ in what they have of an axis (no temperature in a regression).
    tasks = np.asarray(pd.get_dummies(done["task"]), dtype=float)
    mains = [tasks, *codes.values()]
    terms = {
        name: ([tasks, *(codes[o] for o in names if o != name)], code)
        for name, code in codes.items()
    }
    terms |= {
        f"{a} × {b}": (mains, _product(codes[a], codes[b])) for a, b in combinations(names, 2)
    }
    if tasks.shape[1] > 1:
        by_task = tasks - tasks.mean(axis=1, keepdims=True)
        terms |= {f"{name} × task": (mains, _product(codes[name], by_task)) for name in names}
    cells = done.groupby([*names, "task"], sort=False)["score"]
    noise = float(((100 * (done["score"] - cells.transform("mean"))) ** 2).sum())
    freedom = len(done) - cells.ngroups
    mean_square = noise / freedom if freedom and noise > _SMALL else np.nan
    rows = []
    for term, (others, own) in terms.items():
        less, rank = _fit(score, others)
        more, full = _fit(score, [*others, own])
        df = full - rank
        if df < 1:  # no two values of it were run on one setting
            continue
        squares = max(0.0, less - more)
        ratio = squares / df / mean_square
        p = stats.f.sf(ratio, df, freedom) if freedom else np.nan
        unbiased = (squares - df * mean_square) / (total + mean_square)
        rows.append((term, df, squares / total, unbiased, ratio, p))
    table = pd.DataFrame(rows, columns=columns[:-1])
    table["p_holm"] = holm(table["p"])
    rest = 1 - table["share"].sum() - noise / total
    ends = [(SEEDS, float(freedom), noise / total)] * bool(freedom)
    if rest > 1e-6:
        ends.append((REST, np.nan, rest))
    if not ends:
        return table
    return pd.concat([table, pd.DataFrame(ends, columns=columns[:3])], ignore_index=True)


def _codes(values: "pd.Series[str]") -> np.ndarray:
    """(n, k) effect codes: 1 for the value less the mean 1/k of all; 0 where it is idle."""
    known = [value for value in levels(values) if value != IDLE]
    member = {v: np.isin(known, v.split(ALIAS)).astype(float) for v in values.unique()}
    member = {
        v: row / row.sum() if row.any() else row + 1 / len(known) for v, row in member.items()
    }
    return np.stack([member[v] for v in values]) - 1 / len(known)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Every product of a column of `a` with one of `b`."""
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def _fit(score: np.ndarray, parts: list[np.ndarray]) -> tuple[float, int]:
    """Residual sum of squares of the least-squares fit, and the rank of its design."""
    design = np.hstack(parts)
    found, _, rank, _ = np.linalg.lstsq(design, score, rcond=None)
    return float(((score - design @ found) ** 2).sum()), int(rank)


def pairs(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Every two runs that differ in `axis` alone, on one task with one seed.

    `runs` are prepared (an axis view, or all). Columns: a, b (values, in their order), task, seed,
    the settings of the other axes as `setting`, block, and difference, score of b less that of a,
    NaN where one is missing.
    """
    runs = runs[runs["task"] != AVERAGE]
    others = [other for other in studied(runs) if other != axis]
    order = [value for value in levels(runs[axis]) if value != IDLE]
    found = []
    for (task, seed), group in runs.groupby(["task", "seed"], sort=False):
        alike = disagreements(group, others) == 0
        score = group["score"].to_numpy(float)
        settings = group[others].agg(_setting, axis=1).to_numpy() if others else [""] * len(group)
        has = {v: group[axis].map(lambda t, v=v: v in t.split(ALIAS)).to_numpy(bool) for v in order}
        for a, b in combinations(order, 2):
            first, second = np.nonzero(alike & np.outer(has[a] & ~has[b], has[b] & ~has[a]))
            for i, j in zip(first, second, strict=True):
                longer = max(settings[i], settings[j], key=len)  # the one with fewer idle values
                found.append((a, b, task, seed, longer, score[j] - score[i]))
    table = pd.DataFrame(found, columns=["a", "b", "task", "seed", "setting", "difference"])
    blocks = table.groupby(["task", "setting"], sort=False).ngroup()
    return table.assign(block=blocks, stratum=table["task"])


def _setting(row: "pd.Series[str]") -> str:
    return " · ".join(f"{name} {value}" for name, value in row.items() if value != IDLE)


def contrasts(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Each two values of an axis: b less a over all settings that were run with both.

    Columns a, b, pairs (of runs), planned, blocks, seeds, mean, low, high, p, and p_holm over all
    pairs of values of the axis: it holds whichever of them is picked for being best.
    """
    found = pairs(runs, axis)
    keys = ["a", "b"]
    if found.empty:
        return pd.DataFrame(
            columns=[*keys, "pairs", "planned", "blocks", "mean", "low", "high", "p"]
        )
    groups = found.groupby(keys, sort=False)
    table = groups.agg(pairs=("difference", "count"), planned=("difference", "size"))
    table["blocks"] = found.dropna(subset="difference").groupby(keys)["block"].nunique()
    table = table.join(seed_means(found, keys, "difference").drop(columns="spread"))
    return table.assign(p_holm=holm(table["p"])).reset_index()
