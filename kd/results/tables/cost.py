"""The table of size and cost."""

import numpy as np
import pandas as pd

from kd.axes.shapes import TOKENS
from kd.results.numbers import NOTHING, millions, plain
from kd.results.statistics.cost import student_costs, with_costs
from kd.results.tables.rows import by_teacher, listed_note
from kd.results.tables.table import Table
from kd.runtime.words import count

HEADER = [
    *("student", "knowledge", "parameters", "non-embedding", "GFLOPs", "ms", "runs"),
    *("seconds a run", "hours", "examples/s"),
]


def cost_table(frame: pd.DataFrame, tuned: bool = False) -> Table:
    """Sizes, operations, latency and training time per student and knowledge. `tuned`: the runs are
    those at the values that the slice chose."""
    frame = with_costs(frame).assign(place=_places(frame))
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
    latency = student_costs(frame, "latency")
    shared = _shared_places(frame)
    for (student, knowledge), group in groups:
        done = group[group["status"] == "done"]
        alike = done[done["place"].isin(shared)].groupby("place")
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
        "Size and cost; seconds a run and examples/s are means over tasks, hours are sums.",
        HEADER,
        rows,
        2,
        notes=[
            f"GFLOPs: one forward pass over {TOKENS} tokens, by formula; ms: median time of one "
            "example alone, over all runs of a student on the tasks that all students have",
            *_devices(frame),
            *["hours are those of the runs at the chosen values alone (table selected)"] * tuned,
            *listed_note("missing runs", lost),
            *_left_out(frame, shared),
        ],
    )


def _places(frame: pd.DataFrame) -> "pd.Series[str]":
    """Task and device of each run, in which times can be compared."""
    device = frame["device"].fillna("") if "device" in frame else ""
    return frame["task"] + " on " + device


def _shared_places(frame: pd.DataFrame) -> set[str]:
    """The places in which all students and knowledge types with a finished run have one."""
    done = frame[frame["train_seconds"].notna()]
    there = done.groupby(["student", "knowledge"])["place"].agg(set)
    return set.intersection(*there) if len(there) else set()


def _left_out(frame: pd.DataFrame, shared: set[str]) -> list[str]:
    """A note on the runs whose times are not compared."""
    done = frame[frame["train_seconds"].notna()]
    out = int((~done["place"].isin(shared)).sum())
    if not out:
        return []
    return [
        f"seconds a run, examples/s: without {count(out, 'run')}, because some rows have no run on "
        f"the same task and device"
    ]


def _devices(frame: pd.DataFrame) -> list[str]:
    """A note on the devices on which runs were trained and, if different, timed."""
    columns = ["device", "evaluated_on", "teacher_evaluated_on"]
    known = frame.reindex(columns=columns).fillna("")
    trained = _counts(known["device"])
    notes = [f"device: {trained}"] * bool(trained)
    if len(set(known.to_numpy().ravel()) - {""}) > 1:
        for name, timed in (("evaluated_on", "the students"), ("teacher_evaluated_on", "teachers")):
            where = _counts(known[name])
            notes += [f"ms of {timed} measured on: {where}"] * bool(where)
    return notes


def _counts(values: "pd.Series[str]") -> str:
    counts = values[values != ""].value_counts()
    return ", ".join(f"{value} ({count(n, 'run')})" for value, n in counts.items())
