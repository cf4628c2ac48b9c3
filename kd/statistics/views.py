"""Which runs may be compared along an axis: like with like."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from kd.statistics.runs import ALIAS, IDLE, TERMS, disagreements, levels, studied


def axis_view(runs: pd.DataFrame, axis: str) -> tuple[pd.DataFrame, str]:
    """The prepared runs that show what `axis` does, like with like, and in words which these are.

    Columns are added: `value`, one value of the axis (a run that stands for several has a row for
    each), and `series`, "control" or "main". Where a study distils at all, main holds no run that
    does not (unless the axis is what is distilled). Controls that the axis cannot affect are its
    reference: they stand beside it under the idle value.
    """
    others = [other for other in studied(runs) if other != axis]
    base = base_of(runs)
    frames, kept, total, like = [], 0, 0, True
    for _, group in runs.groupby("task", sort=False):
        cells = group.drop_duplicates([axis, *others])
        on = (cells[axis] != IDLE).to_numpy()
        keep = on & _like_with_like(cells, axis, others, base)
        like &= bool(keep.any())
        keep = keep if keep.any() else on
        kept, total = kept + int(keep.sum()), total + int(on.sum())
        settings = [other for other in others if other not in TERMS]
        beside = (disagreements(cells, settings) == 0)[:, keep].any(axis=1)
        keep = keep | (~on & (cells["role"] == "control").to_numpy() & beside)
        frames.append(group.merge(cells.loc[keep, [axis, *others]]))
    view = pd.concat(frames, ignore_index=True)
    if axis != "knowledge":
        main = next(
            (role for role in ("distilled", "control") if role in set(view["role"])), "none"
        )
        view = view[view["role"].isin([main, "control"])]
        view = view.assign(series=np.where(view["role"] == main, "main", "control"))
    else:
        view = view.assign(series=np.where(view["role"] == "control", "control", "main"))
    view = view.assign(value=view[axis].str.split(ALIAS)).explode("value", ignore_index=True)
    if not like:
        return view, "NOT like with like: no setting of the other axes was planned with every value"
    if base is not None:
        return view, "all other axes at the study's base"
    if kept < total:
        return view, f"{kept} of {total} cells: only settings planned with every value"
    return view, "over all settings of the other axes" if others else ""


def at_base(runs: pd.DataFrame, free: Sequence[str]) -> pd.DataFrame:
    """The runs at the study's base in all axes but `free`; all runs of a factorial design."""
    base = base_of(runs)
    if base is None:
        return runs
    fixed = [axis for axis in studied(runs) if axis not in free]
    return runs[disagreements(pd.concat([base, runs]), fixed)[0, 1:] == 0]


def _like_with_like(
    cells: pd.DataFrame, axis: str, others: list[str], base: pd.DataFrame | None
) -> np.ndarray:
    """Which cells may be compared along `axis`: a value must not look better for its setting.

    One at a time: those at the base in all else. Otherwise those whose setting of the other axes
    was planned with every value of this one.
    """
    if base is not None:
        return disagreements(pd.concat([base, cells]), others)[0, 1:] == 0
    alike = disagreements(cells, others) == 0
    keep = np.ones(len(cells), dtype=bool)
    for value in levels(cells[axis]):
        if value != IDLE:
            has = cells[axis].map(lambda text, value=value: value in text.split(ALIAS))
            keep &= alike[:, has.to_numpy(bool)].any(axis=1)
    return keep


def base_of(runs: pd.DataFrame) -> pd.DataFrame | None:
    """The cell from which every other differs in one axis, where the design has one such cell."""
    names = studied(runs)
    cells = runs.drop_duplicates(names) if len(names) > 1 else runs[:0]
    far = disagreements(cells, names).max(axis=1, initial=0)
    whole = (cells[names] != IDLE).all(axis=1).to_numpy(bool)
    centre = cells[(far <= 1) & whole]
    return centre if len(centre) == 1 else None
