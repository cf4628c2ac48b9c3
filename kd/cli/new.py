"""`kd new`: a first study file, from a data file of the user's own or from a shipped study."""

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import Any

from kd.cli.arguments import Commands, command
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write
from kd.study.check import load_study
from kd.study.find import find_study

_NEW = """\
Write a study file: for a data file of yours, or as a copy of another study

kd new reviews.csv --text review --label stars   looks at the file, and writes reviews.yaml
kd new posts.csv --text post --label tags --multi    the same, with several labels for each text
kd new --from mapping --out mine.yaml            copies a study, under the name mine

What it writes runs as it is; the comments in it say what to change. Columns are names, or positions
from 0 where the file has no header. Nothing is written over.
"""


def add(commands: Commands) -> None:
    """Add the command of this module."""
    new = command(commands, "new", _new, _NEW)
    new.add_argument("data", nargs="?", metavar="DATA", help="file of the training examples")
    new.add_argument(
        "--text", nargs="+", action="extend", metavar="COLUMN",
        help="the text; two columns for pairs",
    )  # fmt: skip
    new.add_argument(
        "--label", nargs="+", action="extend", metavar="COLUMN",
        help="the label; several columns of 0 and 1, where an example has any number of labels",
    )  # fmt: skip
    new.add_argument(
        "--multi", nargs="?", const="", metavar="SEPARATOR",
        help="an example has any number of labels: a list, or text such as red;blue",
    )  # fmt: skip
    new.add_argument("--dev", metavar="FILE", help="dev examples (default: a tenth of DATA)")
    new.add_argument(
        "--format", help="where the file's name does not tell it: csv, tsv, lines, ..."
    )
    new.add_argument("--encoding", help="of the files (default: utf-8)")
    new.add_argument("--no-header", action="store_true", help="columns are positions from 0")
    new.add_argument("--from", dest="source", metavar="STUDY", help="a study to copy")
    new.add_argument("--out", metavar="FILE", help="the study file (default: named after DATA)")


# The options about a data file: their attributes, and how they are written.
_OF_DATA = {
    "data": "DATA",
    **{name: f"--{name}" for name in ("text", "label", "dev", "multi", "format", "encoding")},
    "no_header": "--no-header",
}


def _new(options: argparse.Namespace) -> None:
    given = {
        shown for name, shown in _OF_DATA.items() if getattr(options, name) not in (None, False)
    }
    if options.source and given:
        raise UserError(f"new: --from copies a study, so it takes no {min(given)}")
    if not options.source and (lacking := {"DATA", "--text", "--label"} - given):
        raise UserError(
            f"new: {min(lacking)} is missing: kd new DATA --text COLUMN --label COLUMN, or "
            f"kd new --from STUDY"
        )
    source = find_study(options.source) if options.source else Path(options.data)
    out = Path(options.out or f"{source.name.split('.')[0]}.yaml")
    if out.exists():
        raise UserError(f"{out}: is there already; --out names another file")
    if not out.parent.is_dir():
        raise UserError(f"{out}: the folder {out.parent} is missing")
    text = _copied(source, out) if options.source else _made(options, out)
    atomic_write(out, text)
    try:
        load_study(out)
    except UserError:
        out.unlink()
        raise
    file = shlex.quote(str(out))
    print(f"{out}: written. Next:\n  kd plan {file}\n  snakemake --configfile {file}")


def _copied(source: Path, out: Path) -> str:
    """The text of a study under another name and in another folder; its comments stay."""
    from kd.monitor.ship import moved
    from kd.study.new_study import inline, name_of

    load_study(source)
    text = source.read_text(encoding="utf-8")
    if source.parent.resolve() != out.parent.resolve():
        text = moved(text, source.parent, out.parent)
    named = f"study: {inline(name_of(out))}"
    return re.sub(r"^study:\s*[^\s#]+", named, text, count=1, flags=re.MULTILINE)


def _made(options: argparse.Namespace, out: Path) -> str:
    """The text of a study on a data file."""
    from kd.data.own_files import read_table
    from kd.data.own_tasks import own_facts
    from kd.study.new_study import facts_text, guessed, name_of, study_text
    from kd.study.task_keys import own_tasks

    if options.multi is not None and len(options.label) > 1:
        raise UserError("new: --multi is for one column of labels, and --label names several")
    text = [_column(name, options) for name in options.text]
    keys: dict[str, Any] = {
        "train": _beside(options.data, out),
        "dev": _beside(options.dev, out) if options.dev else {"share": 0.1, "seed": 0},
        "text": text[0] if len(text) == 1 else text,
    }
    columns = [_column(label, options) for label in options.label]
    multi = len(columns) > 1 or options.multi is not None
    if multi:
        keys["labels"] = {"from": columns if len(columns) > 1 else columns[0], "multi": True}
        if options.multi:
            keys["labels"]["separator"] = options.multi
    else:
        keys["label"] = columns[0]
    keys |= {k: v for k in ("format", "encoding") if (v := getattr(options, k))}
    if options.no_header:
        keys["header"] = False
    name = name_of(out)
    task = own_tasks({name: keys}, out)[name]
    assert task.source is not None
    if multi:
        keys["metrics"] = ["micro-f1", "macro-f1"]
    else:
        tables = [read_table(Path(file), task.source) for _, file in task.source.splits]
        keys |= guessed([str(label) for table in tables for label in table["label"]])
    facts = own_facts(own_tasks({name: keys}, out)[name])
    print(f"{options.data}: {facts_text(facts)}")
    for warning in facts.warnings:
        print(f"warning: {warning}")
    return study_text(name, str(out), keys, facts)


def _column(name: str, options: argparse.Namespace) -> str | int:
    """A position, where the file has no header."""
    positions = options.no_header or options.format == "lines"
    return int(name) if positions and name.isdecimal() else name


def _beside(file: str, out: Path) -> str:
    """A file as the study names it: from the study's own folder."""
    if not Path(file).is_file():
        raise UserError(f"{file}: no such file")
    return file if Path(file).is_absolute() else os.path.relpath(file, out.parent)
