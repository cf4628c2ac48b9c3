"""Warnings for readers: studies that cannot answer, runs that are missing, and so on."""

import pandas as pd

from kd.data.own_tasks import NOTED
from kd.results.advice.soundness import (
    Floor,
    above_teacher,
    dev_errors,
    seeds_done,
    students_at_floor,
    teachers_at_floor,
)
from kd.results.record import Record
from kd.results.report.words import names_of, quoted
from kd.results.statistics.fraction import mixed_effects
from kd.results.statistics.intervals import LEVEL
from kd.results.statistics.looks import looks_of, share_of
from kd.results.statistics.pairing import prepare
from kd.results.statistics.teacher_recipes import at_an_end
from kd.runtime.words import count, listed
from kd.study.aliasing import sentences
from kd.study.design_keys import FRACTION, read_design
from kd.study.pruned import pruned_values


def cautions(record: Record) -> list[str]:
    """Sentences on the limits of the whole study, the most serious first."""
    frame = record.runs
    if not frame["score"].notna().any():
        return [_nothing(record), *record.remarks]
    texts = [*_unfinished(record.every), *_floors(frame)]
    seeds = seeds_done(frame)
    if seeds < 3:
        texts.append(
            "Only one seed has finished, so nothing can be tested and there are no intervals."
            if seeds == 1
            else "Only two seeds have finished: intervals are wide, and recommendations need three."
        )
    texts += [*_teachers(frame), *_part(frame), *_looks(frame)]
    texts += [*record.remarks, *at_an_end(frame)]
    names = names_of(record.study)
    for axis, value, reason in pruned_values(record.grid):
        texts.append(f"Never run: {axis} {quoted(names, axis, value)} ({reason}).")
    if above := above_teacher(frame):
        cells = count(sum(n for _, n, _ in above), "cell")
        tasks = listed((task for task, _, _ in above), shown=12)
        texts.append(f"The students of {cells} (on {tasks}) score higher than their teacher.")
    return texts + _assistants(frame) + _shared_texts(frame)


def _nothing(record: Record) -> str:
    done = int((record.every["status"] == "done").sum()) if len(record.every) else 0
    if not done:
        return "No run has finished: there is nothing to say yet."
    runs = count(len(record.every), "run")
    return f"{done:,} of {runs} are done, and no cell is complete: there is nothing to say yet."


def _unfinished(every: pd.DataFrame) -> list[str]:
    """How much of the study is done, in all and by task, where it is not all."""
    done = every["status"] == "done" if len(every) else pd.Series(dtype=bool)
    if done.all():
        return []
    tasks = done.groupby(every["task"], sort=False)
    told = [f"{group.sum()} of {len(group)} on {task}" for task, group in tasks]
    by_task = f": {listed(told, shown=12)}" if len(told) > 1 else ""
    return [f"Not finished: {done.sum():,} of {count(len(every), 'run')} are done{by_task}."]


def _teachers(frame: pd.DataFrame) -> list[str]:
    """Sentences on tasks whose runs had several teachers of one recipe."""
    columns = ["task", "teacher", "teacher_id", "teacher_fingerprint"]
    known = frame.reindex(columns=columns).dropna().drop_duplicates()
    texts = []
    for _, group in known.groupby(columns[:-1], sort=False):
        if len(group) > 1:
            task, teacher = group[["task", "teacher"]].iloc[0]
            texts.append(
                f"{task}: the runs learned from {len(group)} trainings of the teacher {teacher} "
                "with different weights, on different machines or versions. Between such runs a "
                "difference is that of the teachers too."
            )
    return texts


def _part(frame: pd.DataFrame) -> list[str]:
    """What a study that ran a part of its grid can separate."""
    part = read_design(frame["design"]) if "design" in frame else None
    if part is None:
        return []
    design, possible = part
    told = [f"{text[0].upper()}{text[1:]}." for text in sentences(mixed_effects(prepare(frame)))]
    kind = "a fraction" if design.kind == FRACTION else "a random part"
    return [
        f"This study ran {kind} of its grid: {design.cells} of {possible:,} cells. Effects are "
        "fitted for all axes together, and each seed on a task gives one difference, which counts "
        "as a pair.",
        *told,
    ]


def _assistants(frame: pd.DataFrame) -> list[str]:
    """Sentences on teachers that are students of runs, beside other teachers or alone."""
    columns = ["teacher", "teacher_run", "teacher_chain"]
    known = frame.reindex(columns=columns).fillna("")
    known = known[known["teacher_run"] != ""].drop_duplicates(["teacher", "teacher_chain"])
    return [
        f"The teacher {teacher} is a teacher assistant ({chain}). The same one teaches all seeds, "
        f"so intervals do not cover how much assistants vary, and the times of its runs are "
        f"without its training."
        for teacher, _, chain in known.itertuples(index=False)
    ]


def _looks(frame: pd.DataFrame) -> list[str]:
    """How often the study is looked at, and what that does to its intervals."""
    looks = looks_of(frame)
    if not looks:
        return []
    rates = [f"{100 * (1 - LEVEL) * share_of(n, looks):.3g} % at {n} seeds" for n in looks]
    return [
        "This study is looked at several times, and the looks share the error rate of 5 %: "
        f"{listed(rates, shown=12)}. A contrast counts the seeds of its last complete look; its "
        "interval and p value are widened so that they hold for all looks together. Other tests "
        "(variance, interactions, ranks, differences to the control) are not corrected for looks."
    ]


def _shared_texts(frame: pd.DataFrame) -> list[str]:
    """Sentences on users' own tasks with dev examples whose text is in the training split too."""
    known = frame.dropna(subset=["data_shared", "examples_eval"])
    texts = []
    for task, group in known.groupby("task", sort=False):
        shared, examples = int(group["data_shared"].iloc[0]), int(group["examples_eval"].iloc[0])
        if shared:
            share = shared / examples
            effect = ", so its scores say less of new text" * (share >= NOTED)
            texts.append(
                f"{task}: {shared} of {examples} dev texts are in its training split too "
                f"({share:.1%}){effect}."
            )
    return texts


def _floors(frame: pd.DataFrame) -> list[str]:
    students, teachers = students_at_floor(frame), teachers_at_floor(frame)
    tasks = frame.loc[frame["score"].notna(), "task"].nunique()
    texts = []
    if students:
        cause = f"no student is clearly above the constant answer ({listed(map(_told, students))})"
        texts.append(
            f"This study cannot answer its question: {cause}."
            if len(students) == tasks
            else f"The answers leave out {count(len(students), 'task')}, on which {cause}."
        )
    columns = ["teacher", "task", "teacher_warning"]
    warned = frame.reindex(columns=columns).fillna("").drop_duplicates()
    warned = warned[warned["teacher_warning"] != ""]
    texts += [
        f"The teacher {teacher} has learned nothing: {text}."
        for teacher, _, text in warned.itertuples(index=False)
    ]
    known = set(zip(warned["teacher"], warned["task"], strict=True))
    for floor in teachers:
        if (floor.teacher, floor.task) not in known:
            who = f"The teacher {floor.teacher}"
            texts.append(f"{who} is not clearly above the constant answer ({_told(floor)}).")
    return texts


def _told(floor: Floor) -> str:
    who = "teacher" if floor.teacher else "best cell"
    text = f"{floor.task}: {who} {floor.best:.1f}, constant answer {floor.majority:.1f}"
    return text + f", standard error {floor.error:.1f}" * bool(floor.error)


def dev_noise(frame: pd.DataFrame) -> str:
    """The sampling error of the dev splits, which no number of seeds takes away; '' if unknown."""
    told = [
        f"{error:.1f} points on {task} ({count(examples, 'example')})"
        for task, (error, examples) in dev_errors(frame).items()
    ]
    if not told:
        return ""
    return (
        f"The dev splits are samples, so a score has a standard error: {listed(told, shown=12)}. "
        "Paired differences have smaller ones."
    )
