"""Reads the data files of a study once, so that their errors are found before anything runs."""

from kd.data.tsv import check_tsv
from kd.study.grid import Grid


def check_inputs(grid: Grid) -> None:
    """Read the TSV files of the study's tasks. The other sources have no files of GLUE.

    Raises:
        UserError: the first error, with file and line.
    """
    if grid.study.data["source"] == "tsv":
        for task in sorted({r.task for r in grid.runs.values() if not r.task_row.source}):
            check_tsv(grid.study.data["path"], task)
