"""Every command line in the README and the pages means something to the program that it starts."""

import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from snakemake.cli import get_argument_parser
from snippets import PAGES, ROOT, snippets

from kd.cli.main import make_parser

COMMAND = re.compile(r"(?:\w+=\S+ )*((?:python -m )?kd [a-z]|snakemake(?: |$)|make [a-z])")
DEMO = "config/studies/demo.yaml"
# A file that `kd new` writes, and those that pages show; an executor that is not installed here.
FILES = ("reviews.yaml", "study.yaml", "/data/me/study.yaml")
WORDS = dict.fromkeys(("STUDY...", "STUDY", "my-mapping.yaml", *FILES), DEMO) | {
    "kubernetes": "local"
}
S3 = ("--storage-s3-endpoint-url", "https://...")  # of a plugin that is not installed here
TARGETS = {"all", "tables", "figures", "report", "guideline", "export", "submission"}


# Commands of other programs, which change the machine or need a service.
ELSEWHERE = [
    r"source \.venv/bin/activate",
    r"chgrp GROUP /data/shared && chmod 2775 /data/shared",
    r"umask 002",
    r"sbatch (--[a-z-]+=\S+ )+--wrap=\"\.venv/bin/snakemake --profile \S+ --configfile STUDY\"",
    r"export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=\.\.\. SNAKEMAKE_STORAGE_S3_SECRET_KEY=\.\.\.",
    r"aws s3 sync s3://BUCKET/PREFIX/results results( --(ex|in)clude '\*[.a-z]*')*",
]


def commands_of(block):
    """Its commands, without comments, with lines that go on joined, and each of a pipe."""
    text = re.sub(r"\\\n", " ", re.sub(r" +#.*", "", block))
    lines = text.replace("| xargs -r ", "\n").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip()]


def code_of(page):
    """Code within the text of a page, in one line each."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


BLOCKS = sorted({line for block in snippets("bash") for line in commands_of(block.text)})
CODE = sorted({code for page in PAGES for code in code_of(page)})
LINES = sorted({line for line in [*BLOCKS, *CODE] if COMMAND.match(line)})


def test_there_are_commands_of_each_kind():
    for start in ("kd plan", "snakemake --configfile", "make "):
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
    words = [word for word in words_of(line)[1:] if word not in S3]
    options = get_argument_parser(profiles=[]).parse_args(words)
    for file in options.configfile or []:
        assert str(file).endswith(".yaml") and (ROOT / file).is_file(), file
    assert set(options.targets or []) <= TARGETS
    for profile in options.profile or []:
        assert (ROOT / profile).is_dir()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make(line):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert next(word for word in words_of(line)[1:] if "=" not in word) in targets


@pytest.mark.parametrize("line", sorted({*BLOCKS} - {*LINES}))
def test_other_programs(line):
    words = shlex.split(line)
    files = [word for word in words if word.startswith("containers/")]
    if line.startswith("python -m benchmarks."):
        run = subprocess.run([sys.executable, *words[1:3], "--help"], cwd=ROOT, capture_output=True)
        assert all(f"{word} " in run.stdout.decode() for word in words if word.startswith("--"))
    elif files:
        assert words[0] in ("docker", "apptainer") and words[1] == "build"
        assert all((ROOT / file).is_file() for file in files)
    elif words[:2] != ["pip", "install"]:  # those are tested below
        assert any(re.fullmatch(known, line) for known in ELSEWHERE), "how is it tested?"


def test_what_pip_installs_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in {*BLOCKS, *CODE} if line.startswith("pip install")]
    named = [re.fullmatch(r"pip install (?:-e '\.|'kd-grid)\[(\w+)\]'", line)[1] for line in lines]
    assert {*named} <= {*extras["optional-dependencies"]} and named


def test_variables_of_the_environment_are_read():
    """A page that names `KD_...` is believed: the code has to read it."""
    named = {name for page in PAGES for name in re.findall(r"\bKD_\w+", page.read_text())}
    code = [*(ROOT / "kd").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    text = "".join(path.read_text() for path in code if path.name != "test_documented_commands.py")
    assert not {name for name in named if f'"{name}"' not in text}
