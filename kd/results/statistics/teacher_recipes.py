"""The recipes that selected teachers were fine-tuned with, as runs.csv records them."""

import math
import re
from dataclasses import dataclass

import pandas as pd

from kd.runtime.words import listed

# One recipe in the column `teacher_candidates`.
_RECIPE = r"([^:;]+): slice (-?[\d.]+), dev (-?[\d.]+)( \(selected\))?(?:; |$)"


@dataclass(frozen=True)
class Recipe:
    """A candidate for a teacher on a task: `text` says how it was trained, scores are fractions."""

    teacher: str
    task: str
    text: str  # learning_rate 0.0001, epochs 4
    on_slice: float
    on_dev: float
    selected: bool


def recipes(runs: pd.DataFrame) -> list[Recipe]:
    """The recipes of all selected teachers, in the order of the runs; [] if none was selected."""
    columns = ["teacher", "task", "teacher_candidates"]
    told = runs.reindex(columns=columns).fillna("").drop_duplicates()
    return [
        Recipe(teacher, task, recipe, float(on_slice), float(on_dev), bool(mark))
        for teacher, task, text in told.itertuples(index=False)
        for recipe, on_slice, on_dev, mark in re.findall(_RECIPE, str(text))
    ]


def at_an_end(runs: pd.DataFrame) -> list[str]:
    """Sentences on selected teachers with the largest or smallest number that was tried of a
    setting. 0 is no end: nothing is below it."""
    by_teacher: dict[tuple[str, str], list[Recipe]] = {}
    for recipe in recipes(runs):
        by_teacher.setdefault((recipe.teacher, recipe.task), []).append(recipe)
    tasks: dict[tuple[str, str, str], list[str]] = {}  # (teacher, setting, end)
    for (teacher, task), tried in by_teacher.items():
        chosen = next((recipe for recipe in tried if recipe.selected), None)
        for setting, own in _numbers(chosen).items() if chosen else ():
            values = {n for recipe in tried if (n := _numbers(recipe).get(setting)) is not None}
            if len(values) > 1 and own == max(values):
                tasks.setdefault((teacher, setting, "largest"), []).append(task)
            elif len(values) > 1 and own == min(values) and own > 0:
                tasks.setdefault((teacher, setting, "smallest"), []).append(task)
    return [
        f"The best {setting} of the teacher {teacher} is the {end} that was tried on "
        f"{listed(where)}: a better teacher may lie outside of this range."
        for (teacher, setting, end), where in tasks.items()
    ]


def _numbers(recipe: Recipe) -> dict[str, float]:
    """The settings of a recipe that are numbers."""
    found = {}
    for part in recipe.text.split(", "):
        setting, _, text = part.strip().partition(" ")
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            found[setting] = value
    return found
