"""`kd power`: what a study can show, before it runs."""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from kd.cli.arguments import POINTS, Commands, grid_of, study_command
from kd.runtime.errors import UserError
from kd.study.check import Study
from kd.study.paths import RECORD, Layout

_POWER = """\
Show the smallest differences that a study can find, and the seeds it needs

It prints for each contrast of the study the smallest difference that its seeds find with
probability 0.8, how many seeds a wanted difference needs, and the difference that no number of
seeds can show, because the dev split has few examples. How much scores vary over seeds is read from
a record (--from), else from the study's own results, else from the records that are shipped. It
starts nothing. See docs/statistics.md.
"""
_SUFFIXES = (".png", ".pdf", ".svg")


def add(commands: Commands) -> None:
    """Add the command."""
    parser = study_command(commands, "power", _power, _POWER, "--json")
    parser.add_argument(
        "--difference", type=POINTS, metavar="POINTS",
        help="a difference to find, in points of the score (default: the study's margin)",
    )  # fmt: skip
    parser.add_argument(
        "--from", dest="record", metavar="RECORD",
        help="a runs.csv of a pilot, its folder, or the name of a study with results",
    )  # fmt: skip
    parser.add_argument(
        "--figure", type=Path, metavar="FILE",
        help=f"draw the smallest difference by seeds ({', '.join(_SUFFIXES)})",
    )  # fmt: skip


def _power(options: argparse.Namespace) -> None:
    from kd.results.power.study import power_text, study_power

    if options.figure and options.figure.suffix not in _SUFFIXES:
        raise UserError(
            f"--figure: found {options.figure}, allowed: a name with {', '.join(_SUFFIXES)}"
        )
    grid, layout = grid_of(options)
    wanted = options.difference or grid.study.margin
    sources = variances_for(grid.study, layout, options.record)
    facts = {"study": grid.study.name, **study_power(planned_runs(grid.study), sources, wanted)}
    if options.figure:
        from kd.results.power.figure import write_power_figure

        write_power_figure(facts, options.figure)
    print(json.dumps(facts, indent=2) if options.json else power_text(facts))


def variances_for(study: Study, layout: Layout, record: str | None = None) -> list[Any]:
    """What is known of variances, the best source first: a record that is named, else that of the
    study; then the shipped ones.

    Raises:
        UserError: the record that is named has no variance.
    """
    from kd.results.answers import read_answers
    from kd.results.compare_records import find_record
    from kd.results.power.variances import known_from, shipped
    from kd.results.record import load_record

    place = layout.study(study.name) / RECORD
    if record:
        place = find_record(record, layout.results)
    if not place.is_file():
        return [shipped()]
    known = known_from(load_record(place).runs, read_answers(place), str(place))
    if record and not known.axes:
        raise UserError(f"{place}: no cell has two seeds that are done with different scores")
    return [known, shipped()]


def planned_runs(study: Study) -> Any:
    """The runs that a study plans, as a record without scores."""
    from kd.results.record import load_record

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / RECORD  # a record without a row: all runs are planned ones
        empty.write_text(_header(), encoding="utf-8")
        return load_record(empty, study).runs


def _header() -> str:
    from kd.results.statistics.runs import NEEDED

    return ",".join(NEEDED) + "\n"
