"""Reads history.csv, the curves of a training."""

import csv
from contextlib import suppress
from pathlib import Path


def history_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a history.csv that have a step and a loss, without their blank cells.

    The last line may be cut short, and counts only with its line end. Rows of a damaged file that
    are not numbers are left out, because a curve is no reason to refuse a finished run.
    """
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    rows = []
    for row in csv.DictReader(line for line in lines if line.endswith("\n")):
        with suppress(ValueError, TypeError):
            values = {name: float(value) for name, value in row.items() if value}
            if "step" in values and "loss" in values:
                rows.append(values)
    return rows
