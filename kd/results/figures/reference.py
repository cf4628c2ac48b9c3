"""The figures of a page with several records, as PNG: all claims, and the axis of each study."""

import csv
import shutil
import tempfile
from pathlib import Path

from kd.results.figures.claims import claims_figure
from kd.results.figures.draw import write_figures
from kd.results.figures.style import write_figure
from kd.results.report.reference import CLAIMS_FIGURE, Collection, figure_name
from kd.study.paths import RECORD


def write_page_figures(collection: Collection, folder: Path) -> list[Path]:
    """Write the figure of claims, and one of each study that has a complete cell, into the folder
    of the page."""
    claims = folder / figure_name(CLAIMS_FIGURE)
    write_figure(lambda: claims_figure(collection.claims), claims)
    written = [claims]
    for name in filter(collection.drawn, collection.studies):
        figure = f"effect-{collection.axis(name)}"
        with tempfile.TemporaryDirectory() as drawn:
            runs = Path(drawn) / RECORD
            _copy_rows(collection.folder / name / RECORD, runs, collection.drawn(name))
            write_figures(runs, Path(drawn) / "figures", [figure])
            source = Path(drawn) / "figures" / f"{figure}.png"
            if source.is_file():
                written.append(Path(shutil.copy(source, folder / figure_name(name))))
    return written


def _copy_rows(source: Path, out: Path, tasks: list[str]) -> None:
    """Copy the rows of some tasks: a panel where all is missing shows nothing."""
    with (
        source.open(newline="", encoding="utf-8") as lines,
        out.open("w", newline="", encoding="utf-8") as copy,
    ):
        rows = csv.DictReader(lines)
        writer = csv.DictWriter(copy, rows.fieldnames or [])
        writer.writeheader()
        writer.writerows(row for row in rows if row["task"] in tasks)
