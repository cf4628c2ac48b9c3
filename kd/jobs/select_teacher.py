"""Rule `teacher`, for one that is selected: the best of its candidates on the held-out slice.

The candidates are fine-tuned by jobs of their own. The winner's files are linked, so they take no
disk of their own.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from kd.runtime.files import aside
from kd.runtime.seals import SEAL, check_seal, read_record, sealed_dir, write_record
from kd.study.paths import HISTORY, METRICS, MODEL, PREDICTIONS, Layout
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
    check_seal(winner / MODEL)
    with sealed_dir(own / MODEL) as folder:
        for file in sorted((winner / MODEL).rglob("[!.]*")):  # hidden files are Snakemake's
            if file.is_file() and file.name != SEAL:
                _link(file, folder / file.relative_to(winner / MODEL))
    for name in (PREDICTIONS, HISTORY):
        if (winner / name).is_file():
            _link(winner / name, own / name)
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


def _link(file: Path, place: Path) -> None:
    """A second name of a file; a copy where the file system has no links."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = aside(place)
    try:
        os.link(file, temporary)
    except OSError:
        shutil.copy2(file, temporary)
    temporary.replace(place)
