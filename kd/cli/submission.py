"""The command `submission`: a zip for the GLUE leaderboard, made or checked."""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kd.cli.arguments import STUDY, Commands, add_options, command
from kd.runtime.errors import UserError
from kd.runtime.words import count
from kd.study.check import Study, load_study
from kd.study.find import find_study
from kd.study.grid import load_grid
from kd.study.paths import RECORD, Layout

_ABOUT = """\
Write a zip for the GLUE leaderboard with the answers of a study's best students

  kd submission STUDY                 write results/studies/NAME/submission.zip
  kd submission --check ZIP [STUDY]   look for what the leaderboard would refuse

The student of a task is that of the complete cell with the highest mean dev score over seeds, and
among its seeds the one with the highest dev score. The MNLI student answers AX too. The
leaderboard takes only whole submissions: a file that no student answers has the same answer
everywhere. The .json beside the zip says which student answered each file. Test sets have no
labels, and nothing is scored on them.

With `data: {source: tsv}` the test sets are test.tsv of each task (MNLI test_matched.tsv and
test_mismatched.tsv, AX diagnostic/diagnostic.tsv); with `source: hub` they are loaded from there.
"""


def add(commands: Commands) -> None:
    """Add the command of this module."""
    parser = command(commands, "submission", _submission, _ABOUT)
    parser.add_argument("of", metavar="STUDY", nargs="?", help=STUDY)
    parser.add_argument("--out", metavar="ZIP", help="the zip to write")
    parser.add_argument("--check", metavar="ZIP", help="check this zip, and write none")
    add_options(parser, "--results", "--threads")


def _submission(options: argparse.Namespace) -> None:
    study = find_study(options.of) if options.of else None
    if options.check:
        if options.out:
            raise UserError("submission: --out and --check exclude each other")
        _check(Path(options.check), load_study(study) if study else None)
    elif options.out and not options.out.endswith(".zip"):
        raise UserError(f"submission: --out: found {options.out!r}, allowed: a name with .zip")
    elif study:
        _write(study, options)
    else:
        raise UserError("submission: give a STUDY, or --check ZIP")


def _check(path: Path, study: Study | None) -> None:
    from kd.axes.leaderboard import SHEETS
    from kd.data.submission import problems
    from kd.data.unlabelled import unlabelled_rows

    at_hand = {}
    if study and study.data["source"] == "tsv":
        rows = {name: unlabelled_rows(study.data, sheet) for name, sheet in SHEETS.items()}
        at_hand = {name: [row["id"] for row in listed] for name, listed in rows.items() if listed}
    if sentences := problems(path, at_hand):
        print("\n".join(sentences))
        raise UserError(
            f"{path}: {count(len(sentences), 'problem')}; the leaderboard would not take it"
        )
    known = f", {len(at_hand)} of them against the test sets of {study.path}" if study else ""
    print(f"{path}: {len(SHEETS)} files as the leaderboard wants them{known}")


def _write(study: Path, options: argparse.Namespace) -> None:
    from kd.runtime import startup

    startup.prepare()
    from kd.jobs.submission import check_source, remarks, write_submission

    grid, layout = load_grid(study), Layout(options.results)
    check_source(grid)
    folder = layout.study(grid.study.name)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder / RECORD}: missing; `kd collect {study}` makes it")
    chosen = _best(folder / RECORD, study)
    out = Path(options.out) if options.out else folder / "submission.zip"
    told = write_submission(grid, layout, chosen, out, options.threads)
    for name, facts in told.items():
        if "run" in facts:
            print(
                f"{name}: {facts['run']}, dev score {facts['score']:.4f}, the best of "
                f"{facts['seeds']} seeds of the best of {facts['cells']} cells (mean "
                f"{facts['mean']:.4f})"
            )
    for sentence in remarks(told):
        print(f"warning: {sentence}", file=sys.stderr)
    print(f"{out}: {len(told)} files, {sum('run' in facts for facts in told.values())} by students")


def _best(record: Path, study: Path) -> dict[str, dict[str, Any]]:
    """The best student of each task that has one, from the record of the study."""
    from kd.results.best_students import best_students
    from kd.results.record import load_record

    runs = load_record(record, study).runs
    done = set(runs.loc[runs["status"] == "done", "task"])
    students = best_students(runs[runs["task"].isin(done)]) if done else {}
    for best in students.values():
        if best.remark:
            print(f"warning: {best.remark}", file=sys.stderr)
    keys = ("run", "score", "mean", "seeds", "expected", "cells")
    return {task: {key: asdict(best)[key] for key in keys} for task, best in students.items()}
