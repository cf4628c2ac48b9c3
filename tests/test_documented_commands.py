"""Every command line in the README and the pages means something to the program that it starts."""

import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from kd.cli.main import make_parser

ROOT = Path(__file__).parents[1]
PAGES = [p for folder in (".", "docs", "config", "results") for p in (ROOT / folder).glob("*.md")]
COMMAND = re.compile(r"(?:\w+=\S+ )*((?:python -m )?kd [a-z]|snakemake(?: |$)|make [a-z])")
DEMO = "config/studies/demo.yaml"
# The last two are a file that `kd new` writes, and one that a page shows.
WORDS = dict.fromkeys(("STUDY...", "STUDY", "reviews.yaml", "study.yaml"), DEMO)
TARGETS = {"all", "tables", "figures", "report", "guideline", "export", "submission"}


def lines_of(page):
    """The commands of a page: lines of its bash blocks, and code within its text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)
    found = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    found += re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [" ".join(line.split()) for line in found]


LINES = sorted({line for page in PAGES for line in lines_of(page) if COMMAND.match(line)})


def test_there_are_commands_of_each_kind():
    for start in ("python -m kd plan", "snakemake --configfile", "make "):
        assert any(line.startswith(start) for line in LINES), start


def words_of(line):
    """The words of a line, with a study for STUDY, without variables and what it is written to."""
    words = shlex.split(line.split(" > ")[0])
    while "=" in words[0]:
        words = words[1:]
    return [WORDS.get(word, word) for word in words]


@pytest.mark.parametrize("line", [line for line in LINES if "kd " in line and "make" not in line])
def test_kd(line):
    words = words_of(line)
    words = words[words.index("kd") + 1 :]
    parser = make_parser()
    (commands,) = (a.choices for a in parser._actions if a.dest == "command")
    assert words[0] in commands
    if words[1:] == ["--json"]:  # a name and its flag
        words.append(WORDS["STUDY"])
    if words[1:] not in ([], ["--help"]):  # not a mere name of a command
        assert parser.parse_args(words).command == words[0]


@pytest.mark.parametrize("line", [line for line in LINES if "snakemake" in line.split()])
def test_snakemake(line):
    """`--configfile` takes all that follows it: a target behind it would be read as a file."""
    options = get_argument_parser(profiles=[]).parse_args(words_of(line)[1:])
    for file in options.configfile or []:
        assert str(file).endswith(".yaml") and (ROOT / file).is_file(), file
    assert set(options.targets or []) <= TARGETS
    for profile in options.profile or []:
        assert (ROOT / profile).is_dir()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make(line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert next(word for word in words_of(line)[1:] if "=" not in word) in targets
