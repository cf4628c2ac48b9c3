"""What the Snakefile does before it plans: how jobs find Python, and what it refuses to start."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from studies import tiny_study, write_study

from kd.study.grid import load_grid
from kd.study.paths import Layout

ROOT = Path(__file__).parents[1]

# Reads the Snakefile once for each command line, in one process; no job is planned.
PROBE = """
import contextlib, io, json, os, sys
from snakemake.cli import args_to_api, parse_args
from snakemake.shell import shell
here = os.getcwd()
for words in json.load(sys.stdin):
    sys.argv, text = ["snakemake", *words], io.StringIO()
    os.chdir(here)
    with contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
        try:
            parser, options = parse_args(words)
            end = args_to_api(options, parser)
        except SystemExit as stop:
            end = stop.code
    print(json.dumps({"end": end, "prefix": shell._process_prefix, "text": text.getvalue()}))
"""


def read_snakefile(*command_lines):
    """[{end, prefix of shell lines, text on the terminal}], one for each command line."""
    run = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps(command_lines),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


CONDA = [
    "--sdm conda",
    "--software-deployment-method conda",
    "--deployment-method conda",
    "--deployment conda",
    "--use-conda",
    "--sdm apptainer conda",
    "--profile {profile}",
    "--mode remote --deployment-method conda",  # as an executor starts a job
]
PLAIN = ["--cores 1", "--sdm apptainer", "--mode remote"]


def test_jobs_have_the_python_of_their_environment_however_conda_is_asked_for(tmp_path):
    (tmp_path / "config.yaml").write_text("software-deployment-method: conda\n")
    lines = [line.format(profile=tmp_path) for line in CONDA + PLAIN]
    found = read_snakefile(*([*line.split(), "--list-rules"] for line in lines))
    here = f"export PATH={Path(sys.executable).parent}:$PATH; "
    for line, start in zip(lines, found, strict=True):
        assert start["end"] is True, start["text"]
        assert start["prefix"].startswith("export KD_STUDY=")
        assert (here in start["prefix"]) == (line in PLAIN), line


def test_a_study_file_that_is_missing_or_wrong_is_one_sentence(tmp_path):
    (tmp_path / "broken.yaml").write_text("study: [")
    (tmp_path / "list.yaml").write_text("- 1")
    write_study(tmp_path, tiny_study(axes={"maping": ["first"]}), "key.yaml")
    expected = {
        "nope.yaml": "no such study file",
        ".": "the study file cannot be read",
        "broken.yaml": "not valid YAML",
        "list.yaml": "found [1], allowed: keys with values",
        "key.yaml": "did you mean mapping",
    }
    lines = [["--configfile", str(tmp_path / name), "-n"] for name in expected]
    *found, other_profile, name_alone = read_snakefile(
        *lines,
        [*lines[0], "--workflow-profile", "profiles/slurm"],  # in place of profiles/default
        ["--configfile", "mapping", "-n"],
    )
    for (name, message), start in zip(expected.items(), found, strict=True):
        assert start["end"].startswith(f"error: {tmp_path / name}: "), start
        assert message in start["end"] and "Traceback" not in start["text"]
    assert "no such study file" in other_profile["end"], other_profile
    assert "Snakemake needs the file: --configfile config/studies/mapping" in name_alone["end"]


@pytest.fixture
def record(tmp_path):
    """A study whose runs.csv has two finished runs, of which only the first has its files here."""
    path = write_study(tmp_path, tiny_study(axes={"seed": [1, 2]}))
    layout = Layout(tmp_path / "results")
    first, second = load_grid(path).runs.values()
    folder = layout.study("test")
    folder.mkdir(parents=True)
    (folder / "runs.csv").write_text(f"run,status\n{first.id},done\n{second.id},done\n")
    layout.run(first).mkdir(parents=True)
    (layout.run(first) / "metrics.json").write_text("{}")
    return path, layout, second


def test_no_start_writes_over_results_that_only_runs_csv_has(record, tmp_path):
    path, layout, second = record
    arguments = ["--directory", str(tmp_path), "--configfile", str(path), "--list-rules"]
    narrow = write_study(tmp_path, tiny_study(axes={"seed": [1]}, study="narrow"), "narrow.yaml")
    shutil.copytree(layout.study("test"), layout.study("narrow"))
    other = [str(narrow) if word == str(path) else word for word in arguments]
    refused, no_longer_named, drawing, unlocking = read_snakefile(
        arguments, other, ["tables", *arguments], ["--unlock", *arguments]
    )
    for start in (refused, no_longer_named):
        assert "runs.csv: has the results of " in start["end"]
        assert second.id in start["end"] and "Traceback" not in start["text"]
    assert drawing["end"] is True and unlocking["end"] is True
    assert (layout.study("test") / "runs.csv").read_text().count("done") == 2

    # A run of the study that is here in part is done again: its record was found damaged, say.
    layout.run(second).mkdir()
    again, not_of_it = read_snakefile(arguments, other)
    assert again["end"] is True
    assert "has the results of " in not_of_it["end"]


def test_two_studies_of_one_name_are_found(record, tmp_path):
    path, layout, second = record
    layout.run(second).mkdir()
    (tmp_path / "copied.yaml").write_text(path.read_text() + "# seeds to come\n")
    write_study(tmp_path, tiny_study(study="test-2"), "another.yaml")
    arguments = ["--directory", str(tmp_path), "--configfile", str(path), "--list-rules"]
    (start,) = read_snakefile(arguments)
    (warning,) = [line for line in start["text"].splitlines() if line.startswith("warning")]
    assert "copied.yaml has the name 'test' too" in warning
    plan = subprocess.run(
        [sys.executable, "-m", "kd", "plan", path, "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert warning in plan.stderr and json.loads(plan.stdout)["runs"] == 2
