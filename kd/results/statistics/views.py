"""The runs that may be compared along an axis, like with like."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from kd.axes.labels import parts as values_in
from kd.results.statistics.fraction import adjusted, part_of
from kd.results.statistics.runs import ALIAS, CELL, IDLE, TERMS, disagreements, studied

ADJUSTED = "a part of the grid was run, so means and dots are adjusted for the other axes"


def axis_view(runs: pd.DataFrame, axis: str) -> tuple[pd.DataFrame, str]:
    """The prepared runs that show the effect of `axis`, like with like, and a description of them.

    Columns are added: `value`, one value of the axis (a run that stands for several has a row for
    each), and `series`, "control" or "main". Where a study distils at all, main holds no run that
    does not (unless the axis is what is distilled). Controls that the axis cannot affect are its
    reference: they are next to it under the idle value.
    """
    view, note = _alike(runs, [axis])
    if axis != "knowledge":
        main = next(
            (role for role in ("distilled", "control") if role in set(view["role"])), "none"
        )
        if main != "none" and (view["role"] == "none").any():
            note += f"{'; ' * bool(note)}runs without a teacher are left out"
        view = view[view["role"].isin([main, "control"])]
        view = view.assign(series=np.where(view["role"] == main, "main", "control"))
    else:
        view = view.assign(series=np.where(view["role"] == "control", "control", "main"))
    view = view.assign(value=view[axis].map(values_in)).explode("value", ignore_index=True)
    return view, note


def grid_view(runs: pd.DataFrame, free: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The prepared runs that compare all combinations of the axes `free`, like with like, and in
    words which these are; a run that stands for several values has a row for each.

    Runs that one of the axes cannot affect are there where they are controls, or where their
    knowledge is given by an axis of `free`.
    """
    varying = [axis for axis in studied(runs) if axis in free]
    view, note = _alike(runs, varying) if varying else (runs, "")
    for axis in free:
        if axis in CELL:
            parts = view.assign(**{axis: view[axis].map(values_in)})
            view = parts.explode(axis, ignore_index=True)
    return view, note


def _alike(runs: pd.DataFrame, free: list[str]) -> tuple[pd.DataFrame, str]:
    """The runs whose setting of the other axes is done with every combination of `free`.

    A setting that some combination lacks is left out of all, so that none looks better because of
    its settings. Lost runs stay, to be shown as missing. Where a part of the grid was run, scores
    are adjusted for the other axes instead.
    """
    if part_of(runs):
        return adjusted(runs, free), ADJUSTED
    others = [other for other in studied(runs) if other not in free]
    base = base_of(runs)
    frames, count = [], dict.fromkeys(("all", "planned", "kept"), 0)
    like = True
    for _, group in runs.groupby("task", sort=False):
        cells = group.groupby([*free, *others], sort=False, as_index=False).agg(
            role=("role", "first"), done=("score", "count")
        )
        on = np.ones(len(cells), dtype=bool)
        if "knowledge" not in free:
            on = (cells[free] != IDLE).all(axis=1).to_numpy()
        done = (cells["done"] > 0).to_numpy()
        planned, keep = _comparable(cells, free, others, base, on, done)
        like &= bool(keep.any()) or not (on & done).any()
        if not keep.any():
            keep = planned if planned.any() else on
        count["all"] += int(on.sum())
        count["planned"] += int(planned.sum())
        count["kept"] += int((keep | planned & ~done).sum())
        settings = [other for other in others if other not in TERMS]
        beside = (disagreements(cells, settings) == 0)[:, keep].any(axis=1)
        chosen = keep | planned & ~done
        chosen |= ~on & (cells["role"] == "control").to_numpy() & beside
        frames.append(group.merge(cells.loc[chosen, [*free, *others]]))
    view = pd.concat(frames, ignore_index=True)
    if not like:
        alone = "no setting of the other axes is there with every value"
        return view, f"this does NOT compare like with like, because {alone}"
    if base is not None:
        return view, "all other axes are at the study's base"
    if count["planned"] < count["all"]:
        note = "only settings that were planned with every value count, which are "
        note += f"{count['planned']} of {count['all']} cells"
    else:
        note = "the means are over all settings of the other axes" if others else ""
    if others and view[others].apply(lambda column: column.str.contains(ALIAS)).any(axis=None):
        note += f"{'; ' * bool(note)}a cell that stands for several values counts once"
    if left := count["planned"] - count["kept"]:
        lone = left == 1
        who = f"{left} {'cell' if lone else 'cells'} {'is' if lone else 'are'} left out, because"
        why = f"{'its setting is' if lone else 'their settings are'} not done with every value"
        note += f"{'; ' if note else ''}{who} {why}"
    return view, note


def _comparable(
    cells: pd.DataFrame,
    free: list[str],
    others: list[str],
    base: pd.DataFrame | None,
    on: np.ndarray,
    done: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The cells that were planned to be compared along `free`, and those that are compared.

    One at a time: those at the base in all else. Otherwise those whose setting of the other axes
    was planned, and is done, with every combination of `free` (of which anything is done at all).
    """
    if base is not None:
        at = on & (disagreements(pd.concat([base, cells]), others)[0, 1:] == 0)
        return at, at & done
    same = disagreements(cells, others) == 0
    planned, keep = on.copy(), on & done
    sides = [cells[axis].map(values_in) for axis in free]
    combinations = [set(product(*row)) for row in zip(*sides, strict=True)]
    for combination in dict.fromkeys(c for row in combinations for c in sorted(row)):
        has = on & np.array([combination in row for row in combinations])
        if has.any():
            planned &= same[:, has].any(axis=1)
        if (has & done).any():
            keep &= same[:, has & done].any(axis=1)
    return planned, keep & planned


def at_base(runs: pd.DataFrame, free: Sequence[str]) -> pd.DataFrame:
    """The runs at the study's base in all axes but `free`; all runs of a factorial design."""
    base = base_of(runs)
    if base is None:
        return runs
    fixed = [axis for axis in studied(runs) if axis not in free]
    return runs[disagreements(pd.concat([base, runs]), fixed)[0, 1:] == 0]


def base_of(runs: pd.DataFrame) -> pd.DataFrame | None:
    """The cell from which every other differs in one axis, if there is exactly one."""
    if part_of(runs):
        return None
    names = studied(runs)
    cells = runs.drop_duplicates(names) if len(names) > 1 else runs[:0]
    far = disagreements(cells, names).max(axis=1, initial=0)
    whole = (cells[names] != IDLE).all(axis=1).to_numpy(bool)
    centre = cells[(far <= 1) & whole]
    return centre if len(centre) == 1 else None
