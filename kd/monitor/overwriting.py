"""Protects a runs.csv that has the only record of some runs."""

import csv
from collections.abc import Container
from pathlib import Path

from kd.runtime.errors import UserError
from kd.study.paths import METRICS


def only_in_record(path: Path, runs: Path, others: Container[str] = ()) -> list[str]:
    """Ids of runs that are done in the runs.csv `path` and have no metrics.json below `runs`.

    Ids in `others` are left out.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            done = [row["run"] for row in csv.DictReader(handle) if row["status"] == "done"]
    except (OSError, ValueError, KeyError, csv.Error):  # there is none, or it is no record
        return []
    return [run for run in done if run not in others and not (runs / run / METRICS).exists()]


def refuse_to_lose(path: Path, runs: Path, others: Container[str] = ()) -> None:
    """Refuse to write over a runs.csv with results that are nowhere else.

    Raises:
        UserError: `only_in_record` finds some.
    """
    if lost := only_in_record(path, runs, others):
        which = lost[0] if len(lost) == 1 else f"{len(lost)} runs ({lost[0]}, ...)"
        raise UserError(
            f"{path}: has the results of {which}, whose metrics.json is not in {runs}; move "
            f"{path.name} away to have it made without them"
        )
