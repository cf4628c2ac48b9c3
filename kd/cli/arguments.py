"""Arguments that several commands share, and how a command is added to the parser."""

import argparse
import os
from collections.abc import Callable
from typing import Any

from kd.study.grid import Grid, load_grid
from kd.study.paths import Layout

Commands = Any  # what argparse's add_subparsers returns: its class is private
Act = Callable[[argparse.Namespace], None]

STUDY = "a study file (YAML), or the name of a study in ., studies/ or config/studies/"


def limited(
    kind: type[int] | type[float], low: float, high: float, allowed: str
) -> Callable[[str], Any]:
    """What reads an option that is a number from `low` to `high`; `allowed` says so in words."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(low) - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"found {text}, allowed: {allowed}")
        return value

    return read


COUNT = limited(int, 1, 10**9, "a number from 1")
POINTS = limited(float, 1e-9, 100, "above 0, up to 100 points")
_SHARED: dict[str, dict[str, Any]] = {
    "--results": {
        "default": os.environ.get("KD_RESULTS", "results"),
        "metavar": "FOLDER",
        "help": "folder of all outputs (default: KD_RESULTS, or results, where Snakemake writes)",
    },
    "--json": {"action": "store_true", "help": "print JSON"},
    "--task": {"required": True, "help": "name of the task"},
    "--extra": {"required": True, "metavar": "ID", "help": "folder name of the extra examples"},
    "--tokens": {"required": True, "metavar": "ID", "help": "folder name of the tokens"},
    "--teacher": {"required": True, "metavar": "ID", "help": "id of the teacher"},
    "--need": {"required": True, "metavar": "ID", "help": "id of the set of outputs to store"},
    "--corpus": {"required": True, "metavar": "ID", "help": "folder name of the corpus"},
    "--stage": {"required": True, "metavar": "ID", "help": "id of the stage, as in results/stages"},
    "--run": {"required": True, "metavar": "ID", "help": "id of the run, as `kd runs` prints it"},
    "--threads": {
        "type": COUNT,
        "default": 1,
        "metavar": "N",
        "help": "CPU threads (default: 1); numbers are equal to the bit only for equal counts",
    },
}


def command(commands: Commands, name: str, act: Act, text: str) -> argparse.ArgumentParser:
    """Add a command; `text` is its help, and the first line of it its line in `kd --help`."""
    parser = commands.add_parser(
        name,
        description=text,
        help=text.splitlines()[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(act=act)
    return parser


def study_command(
    commands: Commands, name: str, act: Act, text: str, *options: str
) -> argparse.ArgumentParser:
    """Add a command about one study, with some of the shared options."""
    parser = command(commands, name, act, text)
    parser.add_argument("study", metavar="STUDY", help=STUDY)
    add_options(parser, "--results", *options)
    return parser


def add_options(parser: argparse.ArgumentParser, *options: str) -> None:
    """Add shared options to a command."""
    for option in options:
        parser.add_argument(option, **_SHARED[option])


def grid_of(options: argparse.Namespace) -> tuple[Grid, Layout]:
    """The grid of the study, and where its results lie."""
    return load_grid(options.study), Layout(options.results)
