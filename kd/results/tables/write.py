"""All tables of a study, from runs.csv alone, and their files."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from kd.results.advice.soundness import students_at_floor
from kd.results.answers import TaskAnswers, read_answers
from kd.results.record import load_record, read_runs, warned
from kd.results.statistics.cells import summarise
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import studied
from kd.results.statistics.selection import Selection
from kd.results.tables.axis import axis_table
from kd.results.tables.cost import cost_table
from kd.results.tables.examples import examples_table
from kd.results.tables.likeness import likeness_table
from kd.results.tables.scores import score_table
from kd.results.tables.selected import selected_table, teachers_table
from kd.results.tables.table import Table, document
from kd.results.tables.tests import contrasts_table, effects_table, iso_cost_table, ranks_table
from kd.runtime.files import atomic_dir, atomic_write

_TESTS = ("effects", "contrasts", "ranks", "iso-cost")


def make_tables(
    frame: pd.DataFrame,
    answers: Mapping[str, TaskAnswers] | None = None,
    selection: Selection | None = None,
) -> dict[str, Table]:
    """All tables that these runs and their answers give, by name; `selection` is what led to these
    runs, where the study tunes an axis."""
    runs = prepare(frame)
    names = studied(runs)
    tables = {"scores": score_table(runs)}
    if selection:
        tables["selected"] = selected_table(selection)
    if teachers := teachers_table(frame):
        tables["selected-teachers"] = teachers
    tables |= {f"axis-{axis}": axis_table(runs, axis) for axis in names}
    more = {
        "effects": effects_table(frame),
        "contrasts": contrasts_table(runs),
        "ranks": ranks_table(runs),
        "iso-cost": iso_cost_table(runs),
        "examples": examples_table(runs, answers or {}),
        "likeness": likeness_table(runs),
    }
    told = [
        f"the answers leave out {floor.task}, where no student is above the constant answer"
        for floor in students_at_floor(frame)
    ]
    for name, table in more.items():
        if table:
            table.notes.extend(told if name in _TESTS else [])
            tables[name] = table
    return tables | {"cost": cost_table(frame, selection is not None)}


def write_tables(runs_csv: Path, out_dir: Path, study: Path | None = None) -> list[str]:
    """Write every table as .csv, .md and .tex into `out_dir`; the names, in order."""
    record = warned(load_record(runs_csv, study))
    tables = make_tables(record.runs, read_answers(runs_csv), record.selection)
    with atomic_dir(out_dir) as folder:
        for name, table in tables.items():
            (folder / f"{name}.csv").write_text(table.csv(), encoding="utf-8")
            (folder / f"{name}.md").write_text(table.markdown(), encoding="utf-8")
            (folder / f"{name}.tex").write_text(table.latex(), encoding="utf-8")
        (folder / "all.tex").write_text(document(list(tables)), encoding="utf-8")
    return list(tables)


def write_summary(runs_csv: Path, summary_csv: Path, study: Path | None = None) -> None:
    """Write the tidy summary: one row per cell and task, scores as in runs.csv."""
    summary = summarise(read_runs(runs_csv, study))
    atomic_write(summary_csv, summary.to_csv(index=False, float_format="%.6g"))
