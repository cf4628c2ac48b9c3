"""Which students a study keeps, and what is said of one that it does not keep."""

import csv
import shlex

from kd.study.check import Study
from kd.study.paths import RECORD, Layout
from kd.study.run import Run


def why_removed(study: Study, run: Run) -> str:
    """What a reader of a removed student is told, behind the name of its folder."""
    file = shlex.quote(str(study.path))
    return (
        f"its weights were removed, because study {study.name} has `keep: {{students: "
        f"{study.keep_students}}}`; `kd retrain {file} {run.id}` trains it again to the same bits"
    )


def recorded_elsewhere(layout: Layout, study: str) -> set[str]:
    """The ids of the runs in the records of other studies below the same results. This study does
    not remove their students."""
    ids: set[str] = set()
    for path in sorted(layout.study("*").parent.glob(f"*/{RECORD}")):
        if path.parent.name != study:
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
                ids.update(row.get("run") or "" for row in csv.DictReader(handle))
    return ids


def kept_note(study: Study) -> list[str]:
    """What Snakemake compares, to collect and remove again if the key changes; [] by default."""
    return [] if study.keep_students == "all" else [f"keep {study.keep_students}"]
