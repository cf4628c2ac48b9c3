"""Which axes matter and how much, and which of their values are better."""

from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from kd.axes.labels import parts as values_in
from kd.results.statistics.fraction import estimates, mixed_effects, part_of, widened
from kd.results.statistics.intervals import holm, seed_means
from kd.results.statistics.looks import at_looks, corrected, looks_of
from kd.results.statistics.noise import Noise
from kd.results.statistics.pairing import prepare, without_controls_matching
from kd.results.statistics.runs import AVERAGE, IDLE, disagreements, levels, studied
from kd.results.statistics.views import base_of
from kd.study.aliasing import Aliasing, Mixed, effect_name, product

# Rows of `variance` that are no axis and no pair of axes.
HIGHER, SEEDS, REST = "three axes and more", "seeds", "not attributable (unbalanced design)"
_COLUMNS = ["term", "kind", "df", "share", "unbiased", "F", "df_error", "p", "p_holm"]
_SMALL = 1e-9


def variance(frame: pd.DataFrame) -> pd.DataFrame:
    """Where the variance of the score comes from: axes, their pairs, axes by task, seeds.

    `frame` has the columns of runs.csv, as `read_runs` gives them. Shares are those of the sum of
    squares within tasks. Each axis is adjusted for the mean of each unit (a seed on a task) and for
    all other axes, and each pair for all axes. A run that stands for several values
    counts as their mean. A run that an axis cannot affect counts as the mean of all values. Each
    term is tested against its own change from seed to seed on a task.

    Where a part of the grid was run, effects that it cannot separate are one term (`a or b × c`),
    and pairs that it mixes have none. An axis is adjusted for the other axes' pairs if it is clear
    of them; otherwise it has no test.

    Returns:
        A row per term: `kind` is axis, pair (of axes), task (an axis by the task), higher (what all
        cells hold beyond these), seeds (runs of one cell; no test), or rest (what an unbalanced
        design gives to no term; none where one axis at a time was varied). Columns df, share (eta
        squared), unbiased (omega squared, 0 in the mean where there is no effect), F, df_error, p,
        p_holm (over all terms).
    """
    frame = without_controls_matching(frame)
    done = frame[frame["score"].notna() & (frame["task"] != AVERAGE)]
    names = studied(done)
    score = 100 * (done["score"] - done.groupby("task")["score"].transform("mean")).to_numpy(float)
    total = float(score @ score)
    if len(done) < 3 or not names or total < _SMALL:
        return pd.DataFrame(columns=_COLUMNS)
    unit = done.groupby(["task", "seed"], sort=False).ngroup().to_numpy()
    task = pd.factorize(done["task"])[0]
    units = np.eye(unit.max() + 1)[unit]
    codes = {name: _codes(done[name]) for name in names}
    terms = _terms(codes, np.eye(task.max() + 1)[task])
    noise = Noise(score, done.groupby([*names, "task"], sort=False).ngroup().to_numpy(), unit, task)
    mains = np.hstack(list(codes.values()))
    mixed = mixed_effects(prepare(frame)) if part_of(done) else Aliasing(5, {})
    rows = []
    for (term, kind), own in terms.items():
        if kind == "pair" and any(term == " × ".join(pair) for pair in mixed.unclear):
            continue
        others = [codes[name] for name in names if name != term] if kind == "axis" else [mains]
        about = mixed.effects.get(tuple(term.split(" × ")), Mixed())
        if about.clear and mixed.effects and kind == "axis":
            others += [product(codes[a], codes[b]) for a, b in combinations(names, 2)
                       if term not in (a, b)]  # fmt: skip
        if about.axes:
            continue
        term = " or ".join([term, *map(effect_name, about.pairs)])
        basis = _basis(own, np.hstack([units, *others]))
        df = basis.shape[1]
        if not df:  # no setting was run with two of its values
            continue
        squares = float(((score @ basis) ** 2).sum())
        rows.append((term, kind, df, squares, *(noise.of(basis) if about.clear else (np.nan, 0.0))))
    everything = np.hstack([units, mains, *terms.values()])
    fitted, rank = _fit(score, everything)
    higher, df = fitted - noise.left, noise.rank - rank
    factors = len(names) + (done["task"].nunique() > 1)
    if df > 0 and factors > 2 and higher > _SMALL * total:
        name = f"pairs that are mixed, {HIGHER}" if mixed.unclear else HIGHER
        rows.append((name, "higher", df, higher, noise.left / max(noise.free, 1), noise.free))
    table = _tested(
        pd.DataFrame(rows, columns=["term", "kind", "df", "squares", "error", "free"]), total
    )
    ends = [(SEEDS, "seeds", float(noise.within_free), noise.within / total)]
    rest = 1 - table["share"].sum() - noise.within / total
    ends = ends * bool(noise.within_free)
    if rest > 1e-6 and base_of(done) is None:
        ends.append((REST, "rest", np.nan, rest))
    if ends:
        table = pd.concat([table, pd.DataFrame(ends, columns=_COLUMNS[:4])], ignore_index=True)
    return table


def seed_share(table: pd.DataFrame) -> float:
    """The share of the seeds in a table of `variance`; NaN if it has no meaning.

    With one seed it is unknown. In a grid with gaps it can overlap the shares of the terms, so it
    would be misleading next to them.
    """
    share = table.loc[table["term"] == SEEDS, "share"]
    return float(share.iloc[0]) if len(share) and table["share"].sum() < 1 + _SMALL else np.nan


def _tested(table: pd.DataFrame, total: float) -> pd.DataFrame:
    """Shares and F tests of sums of squares, each against its own error (a mean square)."""
    tested = table["free"] > 0.5
    square = table["error"].where(tested & (table["error"] > _SMALL))
    ratio = table["squares"] / table["df"] / square
    table = table.assign(
        share=table["squares"] / total,
        unbiased=(table["squares"] - table["df"] * square) / (total + square),
        F=ratio,
        df_error=table["free"].where(tested),
        p=stats.f.sf(ratio, table["df"], table["free"].where(tested)),
    )
    return table.assign(p_holm=holm(table["p"]))[_COLUMNS]


def _terms(codes: dict[str, np.ndarray], tasks: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    """The columns of each term by its name and kind."""
    terms = {(name, "axis"): code for name, code in codes.items()}
    for a, b in combinations(codes, 2):
        terms[f"{a} × {b}", "pair"] = product(codes[a], codes[b])
    if tasks.shape[1] > 1:
        # Tasks may differ in what they have of an axis (no temperature in a regression).
        by_task = tasks - tasks.mean(axis=1, keepdims=True)
        for name, code in codes.items():
            terms[f"{name} × task", "task"] = product(code, by_task)
    return terms


def _codes(values: "pd.Series[str]") -> np.ndarray:
    """(n, k) effect codes: 1 for the value minus the mean 1/k of all; 0 if the axis is idle."""
    known = [value for value in levels(values) if value != IDLE]
    member = {v: np.isin(known, values_in(v)).astype(float) for v in values.unique()}
    member = {
        v: row / row.sum() if row.any() else row + 1 / len(known) for v, row in member.items()
    }
    return np.stack([member[v] for v in values]) - 1 / len(known)


def _basis(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n, df) orthonormal columns of the space that `own` adds to that of `others`."""
    beyond = own - others @ (
        np.linalg.pinv(others.T @ others, rcond=1e-10, hermitian=True) @ (others.T @ own)
    )
    columns, size, _ = np.linalg.svd(beyond, full_matrices=False)
    return columns[:, size > 1e-6 * np.sqrt(len(own))]


def _fit(score: np.ndarray, design: np.ndarray) -> tuple[float, int]:
    """Residual sum of squares of the least-squares fit, and the rank of its design."""
    gram = design.T @ design
    inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
    rest = score - design @ (inverse @ (design.T @ score))
    return float(rest @ rest), round(float((inverse * gram).sum()))


def pairs(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`planned_pairs`; in a study with looks, those that count at the last complete look of their
    contrast (`looks.at_looks`, which adds the column `look`)."""
    return at_looks(planned_pairs(runs, axis), runs)


def planned_pairs(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """All pairs of runs that differ only in `axis`, on one task with one seed.

    `runs` are prepared (an axis view, or all). Columns: a, b (values, in their order), task, seed,
    the settings of the other axes as `setting`, block, difference (the score of b minus that of a,
    NaN if one is missing), the ids of the runs as run_a and run_b, and `worth`, how many pairs a
    row counts for. Where a part of the grid was run, each seed on a task has one fitted difference
    (`fraction.estimates`).
    """
    if part_of(runs):
        return estimates(runs, axis)
    runs = runs[runs["task"] != AVERAGE]
    others = [other for other in studied(runs) if other != axis]
    order = [value for value in levels(runs[axis]) if value != IDLE]
    rows = []
    for (task, seed), group in runs.groupby(["task", "seed"], sort=False):
        alike = disagreements(group, others) == 0
        score, ids = group["score"].to_numpy(float), group["run"].to_numpy()
        settings = [_setting(others, row) for row in group[others].to_numpy(object)]
        has = {v: group[axis].map(lambda t, v=v: v in values_in(t)).to_numpy(bool) for v in order}
        for a, b in combinations(order, 2):
            first, second = np.nonzero(alike & np.outer(has[a] & ~has[b], has[b] & ~has[a]))
            for i, j in zip(first, second, strict=True):
                longer = max(settings[i], settings[j], key=len)  # the one with fewer idle values
                rows.append((a, b, task, seed, longer, score[j] - score[i], ids[i], ids[j]))
    columns = ["a", "b", "task", "seed", "setting", "difference", "run_a", "run_b"]
    table = pd.DataFrame(rows, columns=columns)
    table = table.astype({"difference": float})  # even if there is no pair
    blocks = table.groupby(["task", "setting"], sort=False).ngroup()
    return table.assign(block=blocks, stratum=table["task"], worth=1.0)


def _setting(names: list[str], values: np.ndarray) -> str:
    both = zip(names, values, strict=True)
    return " · ".join(f"{name} {value}" for name, value in both if value != IDLE)


def contrasts(runs: pd.DataFrame, axis: str) -> pd.DataFrame:
    """For each two values of an axis, b minus a over all settings that were run with both.

    `runs` are prepared; differences are fractions (the tables and the guideline show points).
    Columns a, b, pairs (of runs), planned, whole (each planned task has a pair), blocks, seeds,
    mean, low, high, p, and p_holm over all planned pairs of values of the axis, so that it holds
    whichever value is picked as best. In a study with looks also `look`, the seeds of the last
    complete look (0: none), for which low, high and p are corrected.
    """
    differences = pairs(runs, axis)
    keys = ["a", "b"]
    groups = differences.groupby(keys, sort=False)
    table = groups.agg(pairs=("difference", "count"), planned=("difference", "size"))
    by_task = differences.groupby([*keys, "task"], sort=False)["difference"].count()
    table["whole"] = by_task.groupby(keys, sort=False).min() > 0
    table["blocks"] = differences.dropna(subset="difference").groupby(keys)["block"].nunique()
    table = table.join(seed_means(differences, keys, "difference").drop(columns="spread"))
    if part_of(runs):
        units = differences.dropna(subset="difference")[["task", "seed"]].drop_duplicates()
        table = widened(table, runs.merge(units) if looks_of(runs) else runs, axis)
    if looks_of(runs):
        table = corrected(table.assign(look=groups["look"].first()), looks_of(runs))
    # A contrast that has no p yet will have one: it counts in the family from the start.
    p_holm = pd.Series(holm(table["p"].fillna(1.0)), table.index).where(table["p"].notna())
    return table.assign(p_holm=p_holm).reset_index()


def interaction(runs: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Where two axes depend on each other, for each pair of their values.

    `runs` are prepared. For values i of `a` and j of `b` it is how much better i is than the other
    values of `a` at j, minus how much better it is at the other values of `b`. That is the mean of
    (i j − i' j) − (i j' − i' j') over all i' and j' that are done on the same task, seed and
    settings of the other axes. It is 0 if the axes do not depend on each other.

    Returns:
        Columns a, b (the values), pairs (blocks of a seed), planned, mean, low, high, p, seeds, and
        p_holm over all pairs of values; no row if the two axes were not crossed.
    """
    keys = ["a", "b"]
    runs = runs[(runs["task"] != AVERAGE) & (runs[a] != IDLE) & (runs[b] != IDLE)]
    others = [other for other in studied(runs) if other not in (a, b)]
    first, second = levels(runs[a]), levels(runs[b])
    rows = []
    for key, group in runs.groupby(["task", "seed", *others], sort=False):
        task, seed, *rest = map(str, key)
        score = np.full((len(first), len(second)), np.nan)
        there = np.zeros(score.shape, dtype=bool)
        for x, y, value in zip(group[a], group[b], group["score"], strict=True):
            spot = np.ix_([first.index(v) for v in values_in(x)],
                          [second.index(v) for v in values_in(y)])  # fmt: skip
            score[spot], there[spot] = value, True
        for (i, j), gain in _crossed(score, there).items():
            rows.append((first[i], second[j], task, seed, " · ".join(rest), gain))
    table = pd.DataFrame(rows, columns=[*keys, "stratum", "seed", "setting", "gain"])
    if table.empty:
        return pd.DataFrame(
            columns=[*keys, "pairs", "planned", "mean", "low", "high", "p", "p_holm"]
        )
    table = table.assign(block=table.groupby(["stratum", "setting"], sort=False).ngroup())
    groups = table.groupby(keys, sort=False)["gain"].agg(pairs="count", planned="size")
    means = seed_means(table, keys, "gain").drop(columns="spread")
    return groups.join(means).assign(p_holm=lambda t: holm(t["p"])).reset_index()


def _crossed(score: np.ndarray, there: np.ndarray) -> dict[tuple[int, int], float]:
    """`interaction`'s mean for every cell of one table (rows: a, columns: b) that was planned."""
    done = ~np.isnan(score)
    filled = np.where(done, score, 0.0)
    gains = {}
    for i, j in np.argwhere(there):
        weight = np.outer(done[:, j], done[i]) & done & done[i, j]
        weight[i], weight[:, j] = False, False
        if not _planned(there, i, j):
            continue
        count = weight.sum()
        gain = filled[i, j] * count + (weight * filled).sum()
        gain -= weight.sum(axis=1) @ filled[:, j] + weight.sum(axis=0) @ filled[i]
        gains[int(i), int(j)] = float(gain / count) if count else np.nan
    return gains


def _planned(there: np.ndarray, i: int, j: int) -> bool:
    rest = np.outer(there[:, j], there[i]) & there
    rest[i], rest[:, j] = False, False
    return bool(rest.any())
