"""Commands that make what people read, from runs.csv alone: tables, figures, report, advice."""

import argparse
import json
from pathlib import Path

from kd.cli.arguments import Commands, add_options, command, grid_of, study_command
from kd.runtime.errors import UserError
from kd.study.paths import RECORD, Layout

_GUIDELINE = """\
Write guideline.md, the advice that follows from runs.csv

With --json the advice is printed as data, and no file is written.
"""

_TENSORBOARD = """\
Write the training histories of all runs as TensorBoard events

It needs the package tensorboard: pip install tensorboard
"""

_COMPARE = """\
Compare two records of runs

Prints which runs both have, how their scores differ, and what differs in hardware and versions.
"""


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    study_command(commands, "tables", _tables, "Write summary.csv and the tables")
    study_command(commands, "figures", _figures, "Draw the figures")
    study_command(
        commands, "report", _report, "Write report.html, which has the tables and figures in it"
    )
    study_command(commands, "guideline", _guideline, _GUIDELINE, "--json")
    study_command(commands, "tensorboard", _tensorboard, _TENSORBOARD)
    compare = command(commands, "compare", _compare, _COMPARE)
    for side in ("a", "b"):
        text = "a runs.csv, its folder, or the name of a study"
        compare.add_argument(side, metavar=side.upper(), help=text)
    add_options(compare, "--results", "--json")


def _study_folder(options: argparse.Namespace) -> Path:
    """Where the study's runs.csv lies, from which all is made."""
    from kd.study.check import load_study

    folder = Layout(options.results).study(load_study(options.study).name)
    if not (folder / RECORD).is_file():
        raise UserError(f"{folder / 'runs.csv'}: missing; `kd collect {options.study}` makes it")
    return folder


def _tables(options: argparse.Namespace) -> None:
    from kd.monitor.made_from import note_drawn
    from kd.results.tables.write import write_summary, write_tables

    folder = _study_folder(options)
    write_summary(folder / RECORD, folder / "summary.csv", options.study)
    write_tables(folder / RECORD, folder / "tables", options.study)
    note_drawn(folder, "tables")


def _figures(options: argparse.Namespace) -> None:
    from kd.monitor.made_from import note_drawn
    from kd.results.figures.draw import write_figures
    from kd.study.check import load_study

    folder = _study_folder(options)
    asked = load_study(options.study).figures
    drawn = write_figures(folder / RECORD, folder / "figures", asked, options.study)
    note_drawn(folder, "figures")
    for name, why in drawn.items():
        print(f"{name} is not drawn: {why}")


def _report(options: argparse.Namespace) -> None:
    from kd.monitor.made_from import note_drawn
    from kd.results.report.page import write_report

    folder = _study_folder(options)
    write_report(
        folder / RECORD,
        folder / "tables",
        folder / "figures",
        folder / "report.html",
        options.study,
    )
    note_drawn(folder, "report")


def _guideline(options: argparse.Namespace) -> None:
    from kd.monitor.made_from import note_drawn
    from kd.results.record import load_record, warned
    from kd.results.report.guideline import advice_data, write_guideline

    folder = _study_folder(options)
    if options.json:
        record = warned(load_record(folder / RECORD, options.study))
        print(json.dumps(advice_data(record), indent=2))
        return
    write_guideline(folder / RECORD, folder / "guideline.md", options.study)
    note_drawn(folder, "guideline")


def _tensorboard(options: argparse.Namespace) -> None:
    from kd.monitor.tensorboard import write_events

    grid, layout = grid_of(options)
    out = layout.study(grid.study.name) / "tensorboard"
    print(f"{write_events(grid, layout, out)} histories: tensorboard --logdir {out}")


def _compare(options: argparse.Namespace) -> None:
    from kd.results.compare_records import compare, compare_text, find_record

    a, b = (find_record(text, Path(options.results)) for text in (options.a, options.b))
    facts = compare(a, b)
    print(json.dumps(facts, indent=2) if options.json else compare_text(facts))
