"""The command line: its parser, its help, and the exit status of each kind of error.

The commands are in the other modules of this folder. They import torch, transformers and pandas
only when they run, so that `kd --help` and `kd plan` answer at once.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence

from kd import __version__
from kd.cli import drawing, planning, records, reference, shipping, steps
from kd.runtime.console import own_console
from kd.runtime.errors import UserError, code_trouble, nearest, storage_trouble, without_secrets
from kd.runtime.signals import Stopped, watched
from kd.study.find import find_study

_DESCRIPTION = """\
Knowledge distillation of transformer encoders, as a grid of runs.

A study is a YAML file that asks one question: a base run, and the axes that vary it.
`kd plan STUDY` shows what it would run, `snakemake --configfile FILE` runs it, `kd status STUDY`
shows how far it is. The answers are in results/studies/NAME/report.html.
STUDY is a file, or the name of a study in this folder, in studies/ or in config/studies/.
"""

_GROUPS = {
    "Before, during and after a study": planning,
    "Look things up": reference,
    "Read the results, and draw them again from runs.csv alone": drawing,
    "Ship a record, and draw one": records,
    "Ship a student": shipping,
    "The steps of the workflow, which snakemake calls and you can run by hand": steps,
}

# Commands whose results are files; what they print is a log.
_LOGGED = {
    *("data", "extra", "tokenise", "teacher", "outputs", "corpus", "stage", "distil", "evaluate"),
    *("collect", "tables", "figures", "report", "tensorboard", "convert", "submission"),
    *("record", "draw"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done. 2: a mistake of the user's, in one sentence on stderr. 130: stopped by ctrl-C. 75:
    stopped by another signal; the same command goes on from there. 1: an error in this program.
    """
    with own_console() as lost_output:
        parser = make_parser()
        words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
        options = None
        if not (mistake := _unknown_command(parser, words)):
            options, rest = parser.parse_known_args(words)
            mistake = _unknown_words(parser, options.command, rest)
        if mistake or options is None:
            print(f"error: {mistake}", file=sys.stderr)
            return 2
        status = _status_of(options)
        if status == 0 and options.command not in _LOGGED and lost_output():
            print("error: the output is not whole: its disk is full", file=sys.stderr)
            return 2
        return status


def _status_of(options: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    try:
        with watched():
            if "study" in options:
                options.study = find_study(options.study)
            options.act(options)
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except UserError as error:
        print(f"error: {without_secrets(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if sentence := code_trouble(error):
            print(without_secrets(traceback.format_exc()), file=sys.stderr)
            print(f"error: {without_secrets(sentence)}", file=sys.stderr)
            return 2
        if sentence := storage_trouble(error):
            print(f"error: {sentence}", file=sys.stderr)
            return 2
        print(without_secrets(traceback.format_exc()), file=sys.stderr)
        return 1
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; its help lists them by group."""
    parser = argparse.ArgumentParser(
        prog="kd",
        usage="kd COMMAND ...",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kd {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="kd", help=argparse.SUPPRESS
    )
    lines = []
    for title, group in _GROUPS.items():
        known = set(commands.choices)
        group.add(commands)
        lines += ["", f"{title}:"]
        for name, sub in commands.choices.items():
            if name not in known:
                lines.append(f"  {name:<13}{str(sub.description).splitlines()[0]}")
    lines += ["", "`kd COMMAND --help` says what a command takes."]
    parser.epilog = "\n".join(lines)
    return parser


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (commands,) = (action.choices for action in parser._actions if action.dest == "command")
    return dict(commands or {})


def _unknown_command(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """One sentence for a command that does not exist; '' where it does, or none is given."""
    commands = commands_of(parser)
    word = next((word for word in words if not word.startswith("-")), None)
    if word is None or word in commands:
        return ""
    return f"no command {word!r}{nearest(word, commands)}; `kd --help` lists all commands"


def _unknown_words(parser: argparse.ArgumentParser, command: str, rest: Sequence[str]) -> str:
    """One sentence for words that a command does not take; '' where there are none."""
    if not rest:
        return ""
    options = [o for action in commands_of(parser)[command]._actions for o in action.option_strings]
    near = nearest(rest[0].partition("=")[0], options) if rest[0].startswith("--") else ""
    return f"kd {command} takes no {rest[0]!r}{near}; `kd {command} --help` lists what it takes"
