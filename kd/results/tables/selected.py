"""The table of what was selected on the held-out slice: every value that each cell tried."""

import pandas as pd

from kd.results.numbers import NOTHING, plain
from kd.results.statistics.selection import Candidate, Selection
from kd.results.statistics.teacher_recipes import at_an_end, recipes
from kd.results.tables.table import Table
from kd.runtime.words import count


def selected_table(selection: Selection) -> Table:
    """A row per cell and value: slice score, dev score, seeds; the chosen value is bold."""
    cells = [i for i, axis in enumerate(selection.cells) if axis == "task" or _varies(selection, i)]
    names = [*(selection.cells[i] for i in cells), *selection.axes]
    rows = [
        [
            *(candidate.cell[i] for i in cells),
            *candidate.value,
            *(_points(candidate.slice_score), _points(candidate.dev_score), str(candidate.seeds)),
            _word(candidate),
        ]
        for candidate in selection.candidates
    ]
    chosen = [i for i, candidate in enumerate(selection.candidates) if candidate.chosen]
    tuned = " and ".join(selection.axes)
    return Table(
        f"What the held-out slice chose: every value of {tuned} that each cell tried, in points "
        "(score × 100), means over the seeds that all values of the cell have. The chosen value is "
        "bold. All other tables, figures and statistics show each cell at its chosen value.",
        [*names, "slice score", "dev score", "seeds", "note"],
        rows,
        len(names),
        {(i, j) for i in chosen for j in range(len(cells), len(names) + 1)},
        notes=[
            "slice: examples of the training split that no training of the study saw, the same for "
            "all; the value with the highest mean slice score is chosen, and of equal ones the "
            "first in the order of the study",
            "dev scores are shown and have no part in the choice",
            _budget(selection),
            *selection.remarks,
        ],
    )


def teachers_table(runs: pd.DataFrame) -> Table | None:
    """A row per recipe of each selected teacher; None where no teacher was selected."""
    found = recipes(runs)
    rows = [[r.teacher, r.task, r.text, _points(r.on_slice), _points(r.on_dev)] for r in found]
    chosen = {i for i, recipe in enumerate(found) if recipe.selected}
    if not rows:
        return None
    return Table(
        "What the held-out slice chose of the teachers: every recipe that each teacher was "
        "fine-tuned with, in points (score × 100). The chosen recipe is bold: its teacher taught.",
        ["teacher", "task", "recipe", "slice score", "dev score"],
        rows,
        3,
        {(i, j) for i in chosen for j in range(2, 4)},
        notes=["dev scores are shown and have no part in the choice", *at_an_end(runs)],
    )


def _varies(selection: Selection, i: int) -> bool:
    return len({candidate.cell[i] for candidate in selection.candidates}) > 1


def _points(score: float) -> str:
    return NOTHING if score != score else plain(100 * score, 1)


def _word(candidate: Candidate) -> str:
    """What is to be said of a candidate in a few words."""
    words = ["chosen"] * candidate.chosen
    words += ["as good on the slice"] * candidate.close
    words += [f"{count(candidate.equal, 'other')} with the same mean"] * bool(candidate.equal)
    words += [f"the {end} that was tried" for end in candidate.ends]
    words += [f"{count(candidate.lost, 'run')} missing"] * bool(candidate.lost)
    return "; ".join(words)


def _budget(selection: Selection) -> str:
    """How many values each cell tried."""
    counts: dict[tuple[str, ...], int] = {}
    for candidate in selection.candidates:
        counts[candidate.cell] = counts.get(candidate.cell, 0) + 1
    numbers = sorted(set(counts.values()))
    if len(numbers) == 1:
        cells, values = count(len(counts), "cell"), count(numbers[0], "value")
        return f"equal budgets: each of {cells} tried {values}"
    return f"unequal budgets: cells tried {numbers[0]} to {numbers[-1]} values"
