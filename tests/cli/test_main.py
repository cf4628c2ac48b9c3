"""The command line: help that teaches, names, mistakes, pipes."""

import re
import subprocess
import sys

import pytest
from studies import json_of, tiny_study, write_study

from kd.cli.main import main, make_parser
from kd.study.grid import load_grid


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path, tiny_study())


def test_help_names_every_step(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name in commands():
        assert re.search(rf"^  {name} +[A-Z]", text, re.MULTILINE), name


def commands():
    (found,) = (a.choices for a in make_parser()._actions if a.dest == "command")
    return list(found)


def test_runs_print_ids_that_the_grid_has(study, capsys):
    runs = json_of(capsys, "runs", study)
    assert {run["id"] for run in runs} == set(load_grid(study).runs)
    assert main(["runs", str(study)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[1:] == ["mapping=first", "seed=1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stauts", "x"], "error: no command 'stauts' (did you mean status?); `kd --help` lists"),
        (["zz"], "error: no command 'zz'; `kd --help` lists all commands"),
        (
            ["plan", "x", "--jsn"],
            "error: kd plan takes no '--jsn' (did you mean --json?); `kd plan",
        ),
        (["plan", "x", "y"], "error: kd plan takes no 'y'; `kd plan --help` lists what it takes"),
        (["status", "studi"], "error: studi: no such study file (did you mean study.yaml?)"),
    ],
)
def test_a_mistyped_word_is_one_sentence_with_the_nearest(study, capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_a_study_is_known_by_its_name(study, capsys):
    assert json_of(capsys, "status", "test")["runs"] == 4
    assert json_of(capsys, "free", "test")["files"] == {}


def test_no_word_is_a_question_for_help(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0 and "kd plan STUDY" in capsys.readouterr().out


def test_unknown_run_is_one_sentence(study, capsys):
    assert main(["distil", str(study), "--run", "nothing-0123456789"]) == 2
    assert "no run 'nothing-0123456789'" in capsys.readouterr().err


def test_steps_are_quiet_about_a_closed_pipe(study):
    command = f"{sys.executable} -m kd runs {study} --json | head -1"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert run.stderr == ""


@pytest.mark.parametrize("command", [["status"], ["data", "--task", "toy-single"]])
def test_results_that_are_a_file(tmp_path, capsys, command):
    file = tmp_path / "file"
    file.write_text("")
    study = write_study(tmp_path, tiny_study())
    name, *more = command
    assert main([name, str(study), *more, "--results", str(file)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {file}") and error.count("\n") == 1
