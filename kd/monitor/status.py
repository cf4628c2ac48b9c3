"""How far a study is, from the files alone: the state of each run, what is running, what failed."""

from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.constant_answer import teacher_warning
from kd.monitor.slurm_queue import waiting, waiting_text
from kd.runtime.errors import UserError
from kd.runtime.seals import read_record
from kd.runtime.state import STATE, STATES, read_state
from kd.runtime.words import count
from kd.study.grid import Grid
from kd.study.paths import METRICS, Layout
from kd.study.run import Run
from kd.study.tasks import data_warnings

Read = Callable[[Path], dict[str, Any] | None]  # the state of a folder
Queue = Callable[[Path], list[dict[str, Any]]]  # jobs that wait, of a folder where snakemake runs


def study_status(
    grid: Grid, layout: Layout, known: Collection[str] = (), queue: Queue = waiting
) -> dict[str, Any]:
    """Runs in each of STATES, in all and by value of every axis that varies, and what is at work.

    `known` are runs that an earlier look has found to be done. `assistants` has the runs whose
    students are teachers: `teacher` (its name), `run` and `state`; those that are no cells of the
    study are not counted among its runs. `at_work` has a row for each run and
    each step before a run (data, tokens, teacher, outputs) that is running: `name`, `step` (its
    rule), `phase`, `done` and `total` steps of the phase, `per_second` (steps; 0 while none is
    done), `tokens_per_second` (0 where they are not counted), `host`, `folder` (of its state),
    `history` (of a training: its losses so far, by row), and `waiting`, the number of unfinished
    runs that wait for it. `queue` has the reasons why jobs wait in the queue of SLURM
    (`kd.monitor.slurm_queue.waiting`).
    """
    read = cache(read_state)  # once for all runs that wait for it
    every = {
        run.id: ("done", "") if run.id in known else run_status(run, layout, read=read)
        for run in grid.trained.values()
    }
    states = {run: every[run] for run in grid.runs}
    by_axis = {}
    for axis in grid.varied:
        counts: dict[str, Counter[str]] = {}
        for run in grid.runs.values():
            counts.setdefault(run.labels[axis], Counter())[states[run.id][0]] += 1
        if len(counts) > 1:
            by_axis[axis] = {value: dict(count) for value, count in counts.items()}
    total = Counter(state for state, _ in states.values())
    return {
        "study": grid.study.name,
        "runs": len(states),
        **{state: total[state] for state in STATES},
        "axes": by_axis,
        "assistants": [
            {"teacher": teacher.name, "run": run.id, "state": every[run.id][0]}
            for teacher in grid.teachers.values()
            for run in [teacher.student_of]
            if run
        ],
        "at_work": _at_work(grid, layout, every, read),
        "queue": queue(layout.results.parent),
        "warnings": _teacher_warnings(grid, layout),
        "data_warnings": data_warnings(grid.runs.values()),
        "failures": [
            {"run": run, "error": error, "time": _ended(layout.run_folder(run))}
            for run, (state, error) in every.items()
            if state == "failed"
        ],
    }


def _ended(folder: Path) -> float | None:
    """When a run's own state was written last, in seconds since 1970; None where it has none."""
    with suppress(OSError):
        return (folder / STATE).stat().st_mtime
    return None


def _at_work(
    grid: Grid, layout: Layout, status: dict[str, tuple[str, str]], read: Read
) -> list[dict[str, Any]]:
    """The steps of a study that are running, in the order of the work; see `study_status`."""
    names: dict[Path, str] = {}
    waiting: Counter[Path] = Counter()
    unfinished = [run for run in grid.trained.values() if status[run.id][0] != "done"]
    for run in unfinished:
        for step, place in layout.before(run).items():
            names[place] = step
            waiting[place] += status[run.id][0] != "running"
    names |= {layout.run(run): run.id for run in unfinished}
    rows = []
    for place, name in names.items():
        state = read(place)
        if state is not None and state["state"] == "running":
            counted = ("done", "total", "per_second", "tokens_per_second")
            facts = {key: state.get(key) or 0 for key in counted}
            rule = state.get("step")
            rows.append(
                {
                    "name": name,
                    "step": rule,
                    "phase": state.get("phase") or rule,
                    "host": state.get("host"),
                    "folder": str(place),
                    **facts,
                    "history": state.get("history") or [],
                    "waiting": waiting[place],
                }
            )
    return rows


def _work_text(row: dict[str, Any]) -> str:
    """One step that is running, for people."""
    text = f"{row['name']}: {row['phase']}"
    if row["total"]:
        text += f", step {row['done']} of {row['total']}"
    if row["total"] and row["per_second"]:
        text += f", {row['per_second']:.3g} steps/s"
        if row["tokens_per_second"]:
            text += f", {row['tokens_per_second']:,.0f} tokens/s"
    if count := row["waiting"]:
        text += f"; {count} runs wait for it" if count > 1 else "; 1 run waits for it"
    return text


def _teacher_warnings(grid: Grid, layout: Layout) -> list[dict[str, str]]:
    """Teachers that are done and know no more than a constant answer."""
    warnings = []
    for teacher in {run.teacher.id: run.teacher for run in grid.trained.values()}.values():
        with suppress(UserError):  # not there yet, or damaged: its runs' states say so
            record = read_record(layout.teacher(teacher) / METRICS, mark=False)
            if warning := teacher_warning(teacher.task_row, record):
                warnings.append({"teacher": teacher.id, "warning": f"{teacher.name}: {warning}"})
    return warnings


def status_text(facts: dict[str, Any]) -> str:
    """The status for people."""
    total = ", ".join(f"{facts[state]} {state}" for state in STATES)
    lines = [f"study {facts['study']}: {count(facts['runs'], 'run')}: {total}"]
    width = max((len(v) for values in facts["axes"].values() for v in values), default=0)
    for axis, values in facts["axes"].items():
        lines.append(f"  {axis}")
        for value, counts in values.items():
            shown = "".join(f"{counts.get(state, 0):>6} {state}" for state in STATES)
            lines.append(f"    {value:<{width}} {shown}")
    lines += [
        f"  teacher {row['teacher']}, the student of {row['run']}: {row['state']}"
        for row in facts["assistants"]
    ]
    if facts["at_work"]:
        lines.append("at work:")
        lines += [f"  {_work_text(row)}" for row in facts["at_work"]]
    lines += map(waiting_text, facts["queue"])
    if facts["warnings"]:
        lines.append("teachers that have learned nothing:")
        lines += [f"  {entry['teacher']}: {entry['warning']}" for entry in facts["warnings"]]
    lines += [f"  {warning}" for warning in facts["data_warnings"]]
    if facts["failures"]:
        lines.append("failed:")
        lines += [f"  {entry['run']}: {entry['error']}" for entry in facts["failures"]]
    return "\n".join(lines)


def run_status(
    run: Run, layout: Layout, mark: bool = False, read: Read = read_state
) -> tuple[str, str]:
    """(one of STATES, last error line), from the files alone.

    A run also counts as failed if a step that it waits for failed: data, tokens, teacher, outputs.
    """
    folder = layout.run(run)
    if (folder / METRICS).is_file():
        try:
            read_metrics(folder / METRICS, run.id, mark)
        except UserError as error:
            return "failed", str(error)
        return "done", ""
    state = read(folder)
    if state is not None:
        return str(state["state"]), str(state.get("error", ""))
    for step, place in layout.before(run).items():
        before = read(place)
        if before and before["state"] == "failed":
            return "failed", f"{step}: {before['error']}"
    return "missing", ""


def read_metrics(path: Path, run_id: str, mark: bool = True) -> dict[str, Any]:
    """A run's metrics.json, checked to be whole and to belong to that run."""
    metrics = read_record(path, "run", "score", mark=mark)
    if metrics["run"] != run_id:
        raise UserError(f"{path}: not the metrics of run {run_id}; delete it to have it made again")
    return metrics
