"""Commands about records to ship: `kd record` writes one, `kd draw` draws it."""

import argparse
import json
import os
import sys
from pathlib import Path

from kd.cli.arguments import COUNT, Commands, add_options, command, grid_of, study_command
from kd.runtime.errors import UserError
from kd.runtime.words import count
from kd.study.paths import RECORDED

_RECORD = """\
Write a study's record to ship: runs.csv, the study, how it was made, answers

  kd record results/records/mine/study.yaml               in the folder of the study file
  kd record mapping results/records/mapping               in another folder

The folder OUT gets runs.csv, study.yaml (its relative paths are changed to be right there),
made.json (how many runs are done, device, versions, threads, commit), and the students' answers if
they are below 2 MB. It never has a model. A study that is not finished can be recorded now, and
again later. The results are only read.

A record grows. Runs that the results folder does not have are taken from the record that is in OUT,
and from those of --from. So a study can be continued on another machine, or by several:

  kd runs mine.yaml --not-in records/mine --files | xargs -r snakemake --configfile mine.yaml --
  kd record mine.yaml records/mine                       these runs, and those of the record
  kd record mine.yaml records/mine --from theirs/mine    and those of another record
"""

_DRAW = """\
Draw records: tables, figures, report and guideline, from their runs.csv alone

RECORD is a folder with runs.csv, and study.yaml if there is one; or a folder with such folders.
What is drawn is in the folder `drawn` of each. No data and no model is needed.

With --page, RECORD is a folder with such folders and claims.yaml. One page is written instead, with
a figure of each study beside it: how far the studies are, what the claims say and whether the runs
confirm them, the guidelines, and how it was made.
"""

_REPLAY = """\
Replay finished records with fewer of their runs: what cheaper designs would have found

RECORD is a folder with runs.csv, and study.yaml if there is one; or a folder with such folders. The
whole study is compared with fewer seeds, one axis at a time, fractions, random cells, and `kd
next`: how often each finds the same best values and the same signs of effects, by the runs spent.
It takes minutes, because it computes the statistics of hundreds of samples.

With --page it writes a page, with a figure and the facts as JSON beside it.
"""


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    record = study_command(commands, "record", _record, _RECORD)
    record.add_argument(
        "out", metavar="OUT", nargs="?", type=Path, help="the folder (default: the study file's)"
    )
    record.add_argument(
        "--commit", default="", metavar="TEXT", help="the commit of the code that trained the runs"
    )
    record.add_argument(
        "--from", dest="others", metavar="RECORD", nargs="+", action="extend", type=Path,
        default=[],
        help="folders with records (or with folders of records) that have further runs",
    )  # fmt: skip
    draw = command(commands, "draw", _draw, _DRAW)
    draw.add_argument("records", metavar="RECORD", nargs="+", type=Path, help="a folder")
    draw.add_argument("--page", type=Path, metavar="FILE", help="write this page instead")
    replay = command(commands, "replay", _replay, _REPLAY)
    replay.add_argument("records", metavar="RECORD", nargs="*", type=Path, help="a folder")
    replay.add_argument(
        "--simulated", action="store_true", help="also simulated studies with known effects"
    )
    replay.add_argument(
        "--draws", type=COUNT, default=6, metavar="N", help="of seeds and cells (default: 6)"
    )
    replay.add_argument("--page", type=Path, metavar="FILE.md", help="write this page")
    add_options(replay, "--json")


def _record(options: argparse.Namespace) -> None:
    from kd.monitor.ship import write_record

    grid, layout = grid_of(options)
    out = options.out
    if out is None:
        if grid.study.path.name != RECORDED:
            raise UserError(f"OUT: missing; only a {RECORDED} is recorded in its own folder")
        out = grid.study.path.parent
    made, others = write_record(grid, layout, out, options.commit, options.others)
    print(f"{out}: {made['done']} of {made['runs']} runs; answers: {made['answers']}")
    if others:
        print(
            f"warning: scores in {layout.results} differ from those of a record for "
            f"{count(len(others), 'run')} ({others[0]}{', ...' * (len(others) > 1)}); those in "
            f"{layout.results} are written",
            file=sys.stderr,
        )
    if not made["commit"]:
        print("warning: --commit: not given, so made.json does not name the code", file=sys.stderr)


def _draw(options: argparse.Namespace) -> None:
    from kd.results.draw_record import draw_record, records_in

    if options.page:
        _page(options.records, options.page)
        return
    for place in options.records:
        for record in records_in(place):
            print(draw_record(record))


def _replay(options: argparse.Namespace) -> None:
    from kd.results.replay.write import facts_text, replays_of, write_replay

    if not options.records and not options.simulated:
        raise UserError("RECORD: missing; give a folder with runs.csv, or --simulated")
    if options.page and options.page.suffix != ".md":
        raise UserError(f"--page: found {options.page}, allowed: a name that ends with .md")
    facts = replays_of(options.records, options.simulated, options.draws)
    if options.json or not options.page:
        print(json.dumps(facts, indent=2) if options.json else facts_text(facts))
    for path in write_replay(facts, options.page) if options.page else ():
        print(path, file=sys.stderr if options.json else sys.stdout)


def _page(folders: list[Path], page: Path) -> None:
    from kd.results.figures.reference import write_page_figures
    from kd.results.report.reference import page_text, read_collection
    from kd.runtime.files import atomic_write

    if len(folders) > 1:
        raise UserError("--page: takes one RECORD, a folder with claims.yaml")
    collection = read_collection(folders[0])
    place = os.path.relpath(folders[0], page.parent)
    atomic_write(page, page_text(collection, "reference-study.md", place))
    for path in [page, *write_page_figures(collection, page.parent)]:
        print(path)
