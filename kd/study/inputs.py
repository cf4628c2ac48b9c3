"""Reads the data files of a study once, so that their errors are found before anything runs."""

from kd.data.corpus_text import check_corpus
from kd.data.transfer import check_transfer
from kd.data.tsv import check_tsv
from kd.study.grid import Grid
from kd.study.mistakes import at, kept, told


def check_inputs(grid: Grid) -> None:
    """Read the TSV files of the study's tasks, and the first text of each file of a corpus or of a
    transfer set.

    Raises:
        UserError: the first error of each corpus, transfer set and task, with the line of its key
            in the study.
    """
    study = grid.study
    with told(study.path):
        for stage in study.stages.values():
            with kept(), at(f"stages.{stage.name}.corpus"):
                check_corpus(stage.corpus)
        for name, transfer_set in study.transfer.items():
            with kept(), at(f"transfer.{name}"):
                check_transfer(transfer_set)
        if study.data["source"] == "tsv":
            for task in sorted({r.task for r in grid.runs.values() if not r.task_row.source}):
                with kept(), at("data.path"):
                    check_tsv(study.data["path"], task)
