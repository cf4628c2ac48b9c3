"""What must not be written over: a runs.csv that is all that is left of its runs."""

import csv
from collections.abc import Container
from pathlib import Path

from kd.runtime.errors import UserError


def only_there(path: Path, runs: Path, others: Container[str] = ()) -> list[str]:
    """Ids of runs that the runs.csv `path` has as done and that `runs`, the folder of all runs, has
    no metrics.json of; without those in `others`."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            done = [row["run"] for row in csv.DictReader(handle) if row["status"] == "done"]
    except (OSError, ValueError, KeyError, csv.Error):  # none there, or no record
        return []
    return [run for run in done if run not in others and not (runs / run / "metrics.json").exists()]


def keep(path: Path, runs: Path, others: Container[str] = ()) -> None:
    """Refuse to write over a runs.csv that is all that is left of some runs, as `only_there` says.

    Raises:
        UserError: it is.
    """
    if lost := only_there(path, runs, others):
        raise UserError(
            f"{path}: has the results of {len(lost)} runs ({lost[0]}, ...) whose metrics.json is "
            f"not in {runs}; move it away to have it made without them"
        )
