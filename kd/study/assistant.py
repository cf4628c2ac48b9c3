"""A teacher assistant: the student of one run as the teacher of others.

Its run is like any other, with the id that it would have as a cell of a grid.
Source: Mirzadeh et al. 2020, arXiv:1902.03393.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS, TEACHER_DEFAULTS
from kd.axes.shapes import parse_shape
from kd.runtime.hashes import short_hash
from kd.study.assistant_keys import RUN, SHARED, taught_by
from kd.study.cells import complete, over_base
from kd.study.check import Study
from kd.study.inert import reads_teacher
from kd.study.teacher import Teacher
from kd.study.terms import Cell

if TYPE_CHECKING:
    from kd.study.run import Run


def shared_with(cell: Cell) -> Cell:
    """The fields of an assistant's run that follow from a cell that it teaches.

    With `teacher_data: same` it learns from the same fraction of the examples, and so does its own
    teacher; otherwise from all of them.
    """
    same = cell["teacher_data"] == "same" and reads_teacher(cell)
    of_all = () if same else ("train_fraction", "fraction_seed", "teacher_data")
    return {key: RUN_DEFAULTS[key] if key in of_all else cell[key] for key in SHARED}


def assistant_cell(study: Study, name: str, shared: Cell) -> Cell:
    """The cell of an assistant's run: its own keys, over those of the base."""
    own = {**study.teachers[name][RUN], "teacher": taught_by(study, name)}
    return {**complete(study, over_base(study, own)), **shared}


def as_teacher(name: str, run: "Run") -> Teacher:
    """The student of a run as a teacher on the task of the run.

    Its identity is the spec of the run, which has that of its own teacher, and so on.
    """
    encoder = replace(run.teacher.encoder, shape=parse_shape(run.spec["student"]))
    identity = {RUN: run.spec}
    whole = {"teacher": identity, "task": run.task, "data": run.teacher.data}
    size = f"{encoder.shape.layers}l-{encoder.shape.hidden}"
    return Teacher(
        name=name,
        id=f"{encoder.arch}-{size}-{short_hash(whole)}",
        task_row=run.task_row,
        encoder=encoder,
        finetuned=False,
        order=None,
        dtype=TEACHER_DEFAULTS["dtype"],
        recipe={key: run.values[key] for key in TEACHER_DEFAULTS if key in RUN_FIELDS},
        identity=identity,
        data=run.teacher.data,
        data_id=run.data_id,
        tokens_id=run.tokens_id,
        student_of=run,
    )
