"""Rule `teacher`, for one that is selected: the best of its candidates on the held-out slice.

The candidates are fine-tuned by jobs of their own. The winner's files are linked, so they take no
disk of their own.
"""

from typing import Any

from kd.jobs.links import link_model
from kd.runtime.seals import read_record, write_record
from kd.study.paths import METRICS, Layout
from kd.study.teacher import Teacher

_RECIPE = "teacher_candidates"


def select_teacher(teacher: Teacher, layout: Layout) -> None:
    """Fill a teacher's folder with the candidate of the highest score on the slice.

    Of equal ones the first in the order of the study wins. The record is that of the winner, with
    `selected` (its id) and `teacher_candidates` (what each one scored).
    """
    folders = [layout.teacher(candidate) for candidate in teacher.candidates]
    records = [read_record(f / METRICS, "slice_score", "score", "fingerprint") for f in folders]
    best = max(range(len(records)), key=lambda i: float(records[i]["slice_score"]))  # the first
    winner, own = folders[best], layout.teacher(teacher)
    link_model(winner, own)
    told = candidates_text(teacher, records, best)
    record = {**records[best], "teacher_id": teacher.id, "selected": teacher.candidates[best].id}
    write_record(own / METRICS, {**record, _RECIPE: told})


def candidates_text(teacher: Teacher, records: list[dict[str, Any]], best: int) -> str:
    """What each candidate scored, for one cell of a table: `learning_rate 5e-05: slice 0.81, dev
    0.79; learning_rate 0.0001: slice 0.84, dev 0.80 (selected)`."""
    recipes = [candidate.recipe for candidate in teacher.candidates]
    varied = [key for key in recipes[0] if len({str(recipe[key]) for recipe in recipes}) > 1]
    texts = []
    for i, (recipe, record) in enumerate(zip(recipes, records, strict=True)):
        values = ", ".join(f"{key} {recipe[key]}" for key in varied)
        scores = f"slice {record['slice_score']:.4f}, dev {record['score']:.4f}"
        texts.append(f"{values}: {scores}" + " (selected)" * (i == best))
    return "; ".join(texts)
