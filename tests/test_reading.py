"""Commands that only report write nothing, whatever they find; steps mark what is damaged."""

import json

import pytest
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.runtime.seals import MARK, write_record
from kd.study.grid import load_grid
from kd.study.paths import Layout

COMMANDS = [["plan"], ["runs"], ["status"], ["recover"], ["free"]]


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """A study with a whole run, and one whose records are damaged in several ways."""
    monkeypatch.chdir(tmp_path)
    path = write_study(tmp_path, tiny_study(axes={"seed": [1, 2, 3]}))
    grid, layout = load_grid(path), Layout("results")
    whole, broken, empty = (layout.run(run) for run in grid.runs.values())
    for folder in (whole, broken):
        write_record(folder / "metrics.json", {"run": folder.name, "score": 0.5})
        write_record(folder / "training.json", {"train_seconds": 2.0})
    for name in ("metrics.json", "training.json"):
        text = (broken / name).read_text()
        (broken / name).write_text(text.replace("0.5", "0.9").replace("2.0", "1.0"))
    empty.mkdir()
    (empty / "metrics.json").write_text("{")
    (empty / "state.json").write_text("{")
    return path, [str(broken / "metrics.json"), str(empty / "metrics.json")]


def contents(folder):
    files = sorted(folder.rglob("*"))
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in files}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("json_flag", [[], ["--json"]], ids=["text", "json"])
def test_a_command_that_reports_writes_nothing(damaged, tmp_path, command, json_flag, capsys):
    before = contents(tmp_path)
    assert main([*command, str(damaged[0]), *json_flag]) == 0
    assert contents(tmp_path) == before


def test_the_status_says_what_is_damaged_and_what_to_do(damaged, capsys):
    path, broken = damaged
    main(["status", str(path), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["done"], found["failed"]) == (1, 2)
    for failure, file in zip(found["failures"], broken, strict=True):
        assert failure["error"].startswith(f"{file}: damaged")
        assert "remove it to have it made again" in failure["error"]


def test_a_step_marks_what_is_damaged(damaged, tmp_path, capsys):
    path, broken = damaged
    assert main(["collect", str(path)]) == 0
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob(f"*{MARK}")) == sorted(
        f"{file}{MARK}" for file in broken
    )
