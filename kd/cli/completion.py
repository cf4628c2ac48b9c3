"""`kd completion`: what a shell needs to complete commands, options, studies and files."""

import argparse

from kd.cli.arguments import Commands, command
from kd.runtime.errors import UserError
from kd.study.find import FOLDERS

_COMPLETION = """\
Print a script with which your shell completes kd commands

  kd completion bash > ~/.local/share/bash-completion/completions/kd
  kd completion zsh > ~/.zfunc/_kd       (~/.zfunc must be in fpath, before compinit)

Start a new shell after it. It completes commands, options, values, files, and the names of studies.
It needs shtab: pip install 'kd-grid[completion]'
"""
_FILES = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_STUDIES = {"bash": "_kd_studies", "zsh": "_kd_studies"}
# By what the help calls an argument.
_KINDS = {
    **dict.fromkeys(("STUDY", "STUDY|RUN"), _STUDIES),
    **dict.fromkeys(("DATA", "FILE", "FOLDER", "MODEL", "OUT", "RECORD", "ZIP", "A", "B"), _FILES),
}
# A name of a study is the word after `study:` in a file. Files complete beside it.
_NAMES = "sed -n 's/^study: *\\([a-z0-9_-]*\\).*/\\1/p' {files} 2>/dev/null </dev/null"
_PREAMBLE = {
    "bash": "_kd_studies() {{\n  compgen -f -- \"$1\"\n  compgen -W \"$({names})\" -- \"$1\"\n}}\n",
    "zsh": "_kd_studies() {{\n  setopt local_options null_glob; _files\n  compadd $({names})\n}}\n",
}  # fmt: skip


def add(commands: Commands) -> None:
    """Add the command of this module."""
    parser = command(commands, "completion", _completion, _COMPLETION)
    parser.add_argument("shell", choices=tuple(_PREAMBLE), help="your shell")


def _completion(options: argparse.Namespace) -> None:
    try:
        import shtab
    except ImportError:
        raise UserError("completion: it needs shtab: pip install 'kd-grid[completion]'") from None
    from kd.cli.main import commands_of, make_parser

    parser = make_parser()
    for action in parser._actions:
        if action.dest == "command":
            action.help = "command"  # shtab leaves out what the help leaves out
    for sub in commands_of(parser).values():
        for action in sub._actions:
            if isinstance(action.metavar, str) and action.metavar in _KINDS:
                action.complete = _KINDS[action.metavar]  # type: ignore[attr-defined]
    files = " ".join(f"{folder / '*.y*ml'}" for folder in FOLDERS)
    preamble = _PREAMBLE[options.shell].format(names=_NAMES.format(files=files))
    print(shtab.complete(parser, options.shell, preamble=preamble))
