"""A Snakemake that runs is known however it was started, and nothing else is taken for one."""

import os
import shutil
import subprocess
import sys

import pytest

from kd.runtime.snakemake_processes import is_snakemake, workflows


@pytest.mark.parametrize(
    "command",
    [
        "/env/bin/python /env/bin/snakemake --cores 2",
        "python3.11 -m snakemake --cores 2",
        "python -msnakemake",
        "/usr/bin/python3 -u -m snakemake.cli -n",
        "python -um snakemake",
        "python -W ignore::UserWarning:some.module -X dev -m snakemake",
        "python -Wignore::UserWarning:some.module -Xutf8=1 snakemake --configfile python",
        "python --check-hash-based-pycs always ./bin/snakemake",
        "/env/bin/python3 /env/lib/python3.11/site-packages/snakemake/__main__.py",
        "pypy3.11 /env/bin/snakemake",
        "python3.14t /env/bin/snakemake",
    ],
)
def test_a_snakemake_is_one_however_it_was_typed(command):
    assert is_snakemake(command.split())


@pytest.mark.parametrize(
    "command",
    [
        "",
        "vim snakemake",
        "less /env/bin/snakemake",
        "emacs -nw /env/bin/snakemake",
        "python /usr/bin/editor /env/bin/snakemake",
        "python -m idlelib /env/bin/snakemake",
        "python -m pydoc snakemake",
        "python -c snakemake snakemake",
        "python -uc snakemake",
        "python snakemake_report.py",
        "python -m snakemake_report",
        "python -W snakemake",
        "python -m",
        "python -",
        "uv run snakemake",  # it starts a Python, which is the one that counts
        "conda run -n env snakemake",
        "bash -c snakemake",
        "python -m snakemake --snakefile Snakefile --mode remote",  # a cluster job's own
        "python -m snakemake --mode subprocess",
    ],
)
def test_what_is_no_snakemake_or_only_one_of_its_jobs_is_none(command):
    assert not is_snakemake(command.split())


@pytest.fixture
def process(tmp_path):
    """Starts Python with these arguments in a folder; it waits until the test ends."""
    started = []

    def start(folder, *arguments):
        job = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        started.append(job)
        assert job.stdout and job.stdout.readline() == "ready\n"
        return job.pid

    yield start
    for job in started:
        job.communicate("")


WAIT = "print('ready', flush=True); input_ = __import__('sys').stdin.read()"


def test_only_those_of_a_folder_are_found(tmp_path, process):
    """A stand-in for the package: only its name counts."""
    (tmp_path / "snakemake").mkdir()
    (tmp_path / "snakemake/__init__.py").touch()
    (tmp_path / "snakemake/__main__.py").write_text(WAIT)
    script = shutil.copy(tmp_path / "snakemake/__main__.py", tmp_path / "editor.py")
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir(), elsewhere.mkdir()
    assert workflows(here) == []
    module, path = process(here, "-m", "snakemake"), process(here, str(tmp_path / "snakemake"))
    process(elsewhere, "-m", "snakemake")
    process(here, str(script), "snakemake")
    assert workflows(here) == sorted([module, path])


def test_what_writes_snakemakes_log_is_one_and_what_reads_it_is_none(tmp_path, process):
    """As where Snakemake is called by another program."""
    (log := tmp_path / ".snakemake/log").mkdir(parents=True)
    code = f"handle = open({str(log / '1.snakemake.log')!r}, {{mode!r}}); {WAIT}"
    head = process(tmp_path, "-c", code.format(mode="a"))
    process(tmp_path, "-c", code.format(mode="r"))
    assert workflows(tmp_path) == [head]
