"""Draws a record that is shipped: all that people read of a study, from its folder alone."""

from pathlib import Path

from kd.results.figures.draw import write_figures
from kd.results.report.guideline import write_guideline
from kd.results.report.page import write_report
from kd.results.tables.write import write_summary, write_tables
from kd.runtime.errors import UserError
from kd.study.check import load_study
from kd.study.paths import DRAWN, RECORD, RECORDED


def records_in(place: Path) -> list[Path]:
    """The folders with a runs.csv at or below `place`, by name, without what was drawn.

    Raises:
        UserError: there is none.
    """
    folders = sorted(path.parent for path in place.rglob(RECORD) if DRAWN not in path.parts)
    if not folders:
        raise UserError(f"{place}: no record; looked for {RECORD} in it and in the folders below")
    return folders


def study_of(record: Path) -> Path | None:
    """The study file of a record; None where it has none."""
    return path if (path := record / RECORDED).is_file() else None


def draw_record(record: Path) -> Path:
    """Write summary.csv, tables/, figures/, report.html and guideline.md into RECORD/drawn.

    Returns:
        The path of the report.
    """
    runs, out = record / RECORD, record / DRAWN
    study = study_of(record)
    asked = load_study(study).figures if study else None
    out.mkdir(exist_ok=True)
    write_summary(runs, out / "summary.csv", study)
    write_tables(runs, out / "tables", study)
    write_figures(runs, out / "figures", asked, study)
    write_report(runs, out / "tables", out / "figures", out / "report.html", study)
    write_guideline(runs, out / "guideline.md", study)
    return out / "report.html"
