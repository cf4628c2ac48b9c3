"""The command line: help that teaches, names, mistakes, pipes."""

import re
import shutil
import subprocess
import sys

import pytest
from studies import json_of, tiny_study, write_study

from kd.cli.main import commands_of, main, make_parser
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


def test_runs_of_some_values_alone(study, capsys):
    def ids(*only):
        return {run["id"] for run in json_of(capsys, "runs", study, "--only", *only)}

    runs = load_grid(study).runs
    first = {id for id, run in runs.items() if run.labels["mapping"] == "first"}
    assert ids("mapping=first") == first != set(runs)
    assert ids("mapping=first", "mapping=last") == set(runs)
    one = {id for id in first if runs[id].labels["seed"] == "1"}
    assert ids("mapping=first", "seed=1") == ids("mapping=first", "--only", "seed=1") == one
    files = json_of(capsys, "runs", study, "--only", "mapping=first", "--files")
    assert sorted(files) == sorted(f"results/runs/{id}/metrics.json" for id in first)
    for words, message in {
        "mapping=frst": "--only mapping: found 'frst', allowed: first, last (did you mean first?)",
        "maping=first": "--only: found 'maping', allowed: mapping, seed (did you mean mapping?)",
    }.items():
        assert main(["runs", str(study), "--only", words]) == 2
        assert message in capsys.readouterr().err


def test_a_port_needs_a_page(study, capsys):
    assert main(["watch", str(study), "--port", "8765"]) == 2
    assert "--port: has no effect without --web" in capsys.readouterr().err


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


# They print a log, or the place of what they have written.
WITHOUT_JSON = {
    *("new", "watch", "convert", "completion", "tables", "figures", "report", "tensorboard"),
    *("record", "draw", "export", "retrain", "submission", "collect"),
    *("data", "tokenise", "teacher", "extra", "outputs", "corpus", "stage", "distil", "evaluate"),
    "schema",  # which is JSON
}


def test_every_command_that_prints_facts_prints_them_as_json():
    found = commands_of(make_parser())
    having = {n for n, p in found.items() if any("--json" in a.option_strings for a in p._actions)}
    assert set(found) - having == WITHOUT_JSON


def test_axes_and_shapes_are_printed_as_json(capsys):
    (axis,) = json_of(capsys, "axes", "mapping")
    assert axis["axis"] == "mapping" and axis["values"][0]["mapping"] == "uniform"
    first, *_ = json_of(capsys, "shapes", "6L-384", "--same", "params", "--layers", "2,6")
    assert first["shape"].startswith("2L-") and abs(first["deviation"]) < 0.05


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes_commands_options_and_studies(study, tmp_path, capsys):
    pytest.importorskip("shtab", reason="the extra completion")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "kd.bash"
    script.write_text(capsys.readouterr().out)
    asked = """
    complete_for() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
      "$(complete -p kd | sed 's/.*-F \\([^ ]*\\).*/\\1/')"; echo "${COMPREPLY[*]}"; }
    source kd.bash; complete_for kd stat; complete_for kd plan --js; complete_for kd status te
    complete_for kd free test te; complete_for kd shapes --same pa
    """
    run = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, cwd=tmp_path)
    assert run.stdout.splitlines() == ["status", "--json", "test", "test", "params"], run.stderr
    assert main(["completion", "zsh"]) == 0
    assert "_kd_studies" in capsys.readouterr().out
