"""The table of size and cost."""

import numpy as np
import pandas as pd

from kd.axes.shapes import TOKENS
from kd.results.numbers import NOTHING, millions, plain
from kd.results.statistics.cost import with_costs
from kd.results.tables.rows import by_teacher, listed_note
from kd.results.tables.table import Table
from kd.runtime.words import count

HEADER = [
    *("student", "knowledge", "parameters", "non-embedding", "GFLOPs", "ms", "runs"),
    *("seconds a run", "hours in all", "examples/s"),
]


def cost_table(frame: pd.DataFrame) -> Table:
    """Sizes, operations, latency and training time per student and knowledge."""
    frame = with_costs(frame)
    rows = [
        [
            *(f"teacher {teacher}", "", millions(group["teacher_parameters"].mean()), NOTHING),
            plain(group["teacher_flops"].mean() / 1e9, 2),
            plain(1e3 * group["teacher_latency_seconds"].median(), 1),
            *[NOTHING] * 4,
        ]
        for teacher, group in by_teacher(frame)
    ]
    lost = []
    groups = frame.groupby(["student", "knowledge"], sort=False)
    shared = _shared_tasks(frame)
    timed = frame[frame["task"].isin(shared) & (frame["status"] == "done")]
    latency = timed.groupby("student")["latency"].median()
    for (student, knowledge), group in groups:
        done = group[group["status"] == "done"]
        alike = done[done["task"].isin(shared)].groupby("task")
        seconds, speed = done["train_seconds"], alike["examples_per_second"].mean()
        rows.append(
            [
                *(str(student), str(knowledge)),
                millions(group["student_parameters"].mean()),
                millions(group["parameters"].mean()),
                plain(group["flops"].mean() / 1e9, 3 if group["flops"].mean() < 1e9 else 1),
                plain(1e3 * latency.get(student, np.nan), 1),
                f"{len(done)}" if len(done) == len(group) else f"{len(done)}/{len(group)}",
                *(
                    plain(alike["train_seconds"].mean().mean()),
                    plain(seconds.sum(min_count=1) / 3600, 2),
                ),
                plain(speed.mean(), 1),
            ]
        )
        if len(done) < len(group):
            lost.append(f"{student}, {knowledge}: {len(group) - len(done)} of {len(group)}")
    return Table(
        "Size and cost; seconds a run and examples/s are means over tasks.",
        HEADER,
        rows,
        2,
        notes=[
            f"GFLOPs: one forward pass over {TOKENS} tokens, by formula; ms: median time of one "
            "example alone, over all runs of a student, measured on the evaluated examples",
            *_devices(frame),
            *listed_note("missing runs", lost),
            *_tasks_of_times(frame, shared),
        ],
    )


def _shared_tasks(frame: pd.DataFrame) -> list[str]:
    """The tasks on which all students and knowledge types have a run, so that their times can be
    compared; all tasks if there is no such task."""
    done = frame[frame["train_seconds"].notna()]
    there = done.groupby(["student", "knowledge"])["task"].agg(set)
    shared = set.intersection(*there) if len(there) else set()
    tasks = list(dict.fromkeys(frame["task"]))
    return [task for task in tasks if task in shared] or tasks


def _tasks_of_times(frame: pd.DataFrame, shared: list[str]) -> list[str]:
    """A note on tasks that the means of times leave out."""
    out = [task for task in dict.fromkeys(frame["task"]) if task not in shared]
    if not out:
        return []
    return [f"ms, seconds a run, examples/s: without {', '.join(out)}, where some rows have no run"]


def _devices(frame: pd.DataFrame) -> list[str]:
    """A note on the devices on which runs were trained and, if different, timed."""
    columns = ["device", "evaluated_on", "teacher_evaluated_on"]
    known = frame.reindex(columns=columns).fillna("")
    trained = _counts(known["device"])
    notes = [f"device: {trained}; times compare only on one device"] * bool(trained)
    if len(set(known.to_numpy().ravel()) - {""}) > 1:
        for name, timed in (("evaluated_on", "the students"), ("teacher_evaluated_on", "teachers")):
            where = _counts(known[name])
            notes += [f"ms of {timed} measured on: {where}"] * bool(where)
    return notes


def _counts(values: "pd.Series[str]") -> str:
    counts = values[values != ""].value_counts()
    return ", ".join(f"{value} ({count(n, 'run')})" for value, n in counts.items())
