"""Rule `teacher`, for a teacher assistant: the student of a run, as a teacher of others.

The run is trained and evaluated by jobs of its own. Its files are linked, so that they take no disk
of their own, and stay if the run's weights are removed.
"""

import sys
from typing import Any

from kd.axes.constant_answer import teacher_warning
from kd.jobs.inputs import student_model
from kd.jobs.links import link_model
from kd.runtime.seals import read_record, write_record
from kd.study.paths import METRICS, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher import Teacher

_OF_A_STUDENT = ("agreement", "seal", "student", "teacher")  # starts of names


def make_assistant(teacher: Teacher, run: Run, layout: Layout) -> None:
    """Fill a teacher's folder with the student of a run.

    Its record has the scores of the student, and `student_of` (the run), `chain` (the shapes from
    the first teacher to this one) and `chain_seconds` (of training the students among them).
    """
    student_model(run, layout)
    folder, own = layout.run(run), layout.teacher(teacher)
    made = read_record(folder / METRICS, "score", "model_fingerprint")
    trained = read_record(folder / TRAINING, "train_seconds")
    link_model(folder, own)
    scores = {
        key: value
        for key, value in made.items()
        if key not in {*trained, *run.values} and not key.startswith(_OF_A_STUDENT)
    }
    record: dict[str, Any] = {
        **scores,
        "teacher": teacher.name,
        "teacher_id": teacher.id,
        "student_of": run.id,
        "chain": " > ".join([*_before(made), str(teacher.encoder.shape)]),
        "chain_seconds": trained["train_seconds"] + made.get("teacher_chain_seconds", 0),
        "shape": str(teacher.encoder.shape),
        "finetuned": False,
        **teacher.recipe,
        "parameters": made["student_parameters"],
        "nonembedding_parameters": made["student_nonembedding_parameters"],
        "dtype": made["student_dtype"],
        "device": made["evaluated_on"],  # of the latency
        "data_fingerprint": made["data_fingerprint"],
        "fingerprint": made["model_fingerprint"],
    }
    if warning := teacher_warning(teacher.task_row, record):
        print(f"warning: teacher {teacher.name}: {warning}", file=sys.stderr)
        record["teacher_warning"] = warning
    write_record(own / METRICS, record)


def _before(made: dict[str, Any]) -> list[str]:
    """The shapes of the teachers before the student of a run, from the run's record."""
    known = made.get("teacher_chain") or made.get("teacher_shape")
    return [str(known)] if known else []
