"""What the runs of a study cost, in words, for the report."""

import pandas as pd


def cost(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(what, how much) of the study's runs in all; runs that other studies share count too."""
    done = frame[frame["status"] == "done"]
    seconds = done["train_seconds"]
    rows = [("runs", f"{len(done)} of {len(frame)} done")]
    if seconds.notna().any():
        per = seconds.quantile([0, 0.5, 1]).tolist()
        rows += [
            ("training", f"{seconds.sum() / 3600:.2f} hours in all, teachers not counted"),
            ("a run", f"{per[1]:.0f} s (median; {per[0]:.0f} to {per[2]:.0f})"),
        ]
    rows += [*_stage_cost(done), *_assistant_cost(done)]
    if done["evaluate_seconds"].notna().any():
        rows.append(("evaluation", f"{done['evaluate_seconds'].sum() / 3600:.2f} hours in all"))
    if done["peak_memory_bytes"].notna().any():
        rows.append(("GPU memory", f"{done['peak_memory_bytes'].max() / 2**30:.1f} GiB at most"))
    dates = sorted({date for date in done["created"] if date})
    if dates:
        rows.append(("evaluated", dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"))
    return rows


def _stage_cost(done: pd.DataFrame) -> list[tuple[str, str]]:
    """What the stages before the task took, how many of these runs share each, and how much of a
    run's own cost its part of the stage is."""
    times = done.reindex(columns=["stage_id", "stage_seconds", "train_seconds"])
    staged = times[times["stage_seconds"].notna() & times["train_seconds"].notna()]
    if staged.empty:
        return []
    by_stage = staged.groupby("stage_id")
    whole = by_stage["stage_seconds"].first()
    runs, own = by_stage.size(), by_stage["train_seconds"].mean()
    part = whole / runs
    share, alone = part / (part + own), whole / (whole + own)
    several = len(whole) > 1
    return [
        (
            "stages" if several else "stage",
            f"{whole.sum() / 3600:.2f} hours in all, once for the {len(staged)} runs that start "
            f"from {'them' if several else 'it'} ({_span(runs)} runs each)"
            if several
            else f"{whole.sum() / 3600:.2f} hours, once for the {len(staged)} runs that start "
            f"from it",
        ),
        (
            "a run with its stage",
            f"the stage is {_span(100 * share, 1)} % of its cost where these runs share it, and "
            f"{_span(100 * alone, 1)} % where a run has it alone",
        ),
    ]


def _assistant_cost(done: pd.DataFrame) -> list[tuple[str, str]]:
    """What the students in the chain of each teacher assistant took, how many of these runs share
    them, and how much of a run's own cost its part of the chain is. Chains may have students in
    common, so there is no sum."""
    columns = ["teacher", "teacher_id", "teacher_chain_seconds", "train_seconds"]
    times = done.reindex(columns=columns).dropna(subset=columns[2:])
    rows = []
    for name, runs in times.groupby("teacher", sort=False):
        by_task = runs.groupby("teacher_id")
        whole, own = by_task["teacher_chain_seconds"].first(), by_task["train_seconds"].mean()
        part = whole / by_task.size()
        share, alone = part / (part + own), whole / (whole + own)
        text = (
            f"{whole.sum() / 3600:.2f} hours to train it and the students before it, once for "
            f"{len(runs)} runs: {_span(100 * share, 1)} % of a run's cost where these runs share "
            f"it, and {_span(100 * alone, 1)} % where a run has it alone"
        )
        rows.append((f"teacher assistant {name}", text))
    return rows


def _span(values: pd.Series, digits: int = 0) -> str:
    """The least and the most, or the one value."""
    least, most = (f"{value:.{digits}f}" for value in (values.min(), values.max()))
    return least if least == most else f"{least} to {most}"
