"""Reads the data files of a study once, so that their errors are found before anything runs."""

from kd.data.corpus_text import check_corpus
from kd.data.transfer import check_transfer
from kd.data.tsv import check_tsv
from kd.runtime.errors import UserError
from kd.study.grid import Grid


def check_inputs(grid: Grid) -> None:
    """Read the TSV files of the study's tasks, and the first text of each file of a corpus or of a
    transfer set.

    Raises:
        UserError: the first error, with file and line.
    """
    for stage in grid.study.stages.values():
        try:
            check_corpus(stage.corpus)
        except UserError as error:
            raise UserError(f"stages.{stage.name}.corpus: {error}") from None
    for name, transfer_set in grid.study.transfer.items():
        try:
            check_transfer(transfer_set)
        except UserError as error:
            raise UserError(f"transfer.{name}: {error}") from None
    if grid.study.data["source"] == "tsv":
        for task in sorted({r.task for r in grid.runs.values() if not r.task_row.source}):
            check_tsv(grid.study.data["path"], task)
