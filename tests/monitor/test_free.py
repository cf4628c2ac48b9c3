"""What is freed: the stored outputs that no unfinished run of the studies reads, no others."""

import os
import subprocess
import sys

import pytest
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.monitor.free import free, idle_outputs
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.runtime.locks import only_one
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import WRITER, keys_of, name_of


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "results")


def stored(tmp_path, layout, knowledge, **changes):
    """A study whose outputs are all there, a byte each."""
    study = tiny_study(axes={"knowledge": knowledge}, **changes)
    grid = load_grid(write_study(tmp_path, study, f"{study['study']}.yaml"))
    for run in grid.runs.values():
        folder = layout.need(run).parent
        for key in keys_of(run):
            write_json(folder / f"{name_of(key)}.json", {"version": 1})
            (folder / f"{name_of(key)}.npy").write_bytes(b"0")
        if keys_of(run):
            write_json(layout.need(run), {"stored": sorted(map(name_of, keys_of(run)))})
    return grid


def finish(layout, *runs):
    for run in runs:
        write_json(layout.run(run) / "metrics.json", {"run": run.id, "score": 1.0})


def arrays(files):
    return {file.stem for file in files}


def test_unfinished_runs_keep_what_they_read(tmp_path, layout):
    grid = stored(tmp_path, layout, ["logits", "logits+hidden@3-1", "hidden@3-1+cls@2-2"])
    first, second, third = grid.runs.values()
    assert idle_outputs([grid], layout) == {}
    finish(layout, third)
    assert arrays(idle_outputs([grid], layout)) == {"cls-2"}
    finish(layout, second)
    assert arrays(idle_outputs([grid], layout)) == {"cls-2", "hidden-3"}
    finish(layout, first)
    assert arrays(idle_outputs([grid], layout)) == {"cls-2", "hidden-3", "logits"}
    found = idle_outputs([grid], layout)
    assert all(size == file.stat().st_size for file, size in found.items())
    free(found, layout)
    left = {file.name for file in layout.need(first).parent.glob("[!.]*")}
    assert left == {layout.need(run).name for run in grid.runs.values()}


@pytest.mark.parametrize("content", ["{", '{"run": "another-0123456789", "score": 1}'])
def test_metrics_that_are_not_sound_finish_nothing(tmp_path, layout, content):
    grid = stored(tmp_path, layout, ["logits"])
    (run,) = grid.runs.values()
    layout.run(run).mkdir(parents=True)
    (layout.run(run) / "metrics.json").write_text(content)
    assert idle_outputs([grid], layout) == {}


def test_only_the_studies_that_are_named_keep_and_lose(tmp_path, layout):
    done = stored(tmp_path, layout, ["logits", "logits+cls@2-2"])
    waiting = stored(tmp_path, layout, ["logits"], study="waiting")
    elsewhere = stored(
        tmp_path,
        *(layout, ["hidden@2-2"]),
        study="elsewhere",
        teachers={"other": {"model": "scratch", "shape": "4L-32-2h-64"}},
    )
    finish(layout, *(run for run in done.runs.values() if run.id not in waiting.runs))
    assert arrays(idle_outputs([done, waiting], layout)) == {"cls-2"}
    finish(layout, *elsewhere.runs.values())
    assert arrays(idle_outputs([waiting], layout)) == {"cls-2"}, "of a teacher that was not named"


def test_nothing_is_removed_while_someone_may_count_on_it(tmp_path, layout):
    grid = stored(tmp_path, layout, ["logits"])
    (run,) = grid.runs.values()
    finish(layout, run)
    files = idle_outputs([grid], layout)

    # The store's writer.
    writer = only_one(layout.need(run).parent / WRITER, print)
    with writer, pytest.raises(UserError, match=f"process {os.getpid()} writes there"):
        free(files, layout)
    # A workflow of this machine.
    script = tmp_path / "snakemake"
    script.write_text("print(flush=True)\ninput()\n")  # runs until the test kills it
    command = [sys.executable, script]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as head:
        assert head.stdout is not None and head.stdout.readline()
        with pytest.raises(UserError, match=rf"snakemake runs here \(process {head.pid}\)"):
            free(files, layout)
        head.kill()
    # One of another machine.
    lock = tmp_path / ".snakemake/locks/0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    with pytest.raises(UserError, match="locked by a snakemake"):
        free(files, layout)
    # One that was started where the results are a link to this folder.
    link = tmp_path / "elsewhere/results"
    (link.parent / ".snakemake/locks").mkdir(parents=True)
    link.symlink_to(layout.results)
    lock = lock.rename(link.parent / ".snakemake/locks/0.input.lock")
    with pytest.raises(UserError, match="locked by a snakemake"):
        free(files, Layout(link))
    lock.unlink()
    assert all(file.exists() for file in files)
    free(files, layout)
    assert not any(file.exists() for file in files)


def test_the_command_removes_only_when_told(tmp_path, layout, capsys):
    grid = stored(tmp_path, layout, ["logits"])
    command = ["free", str(grid.study.path), "--results", str(layout.results)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("there are no stored teacher outputs")
    finish(layout, *grid.runs.values())
    for words, end, left in (((), "with --yes", True), (("--yes",), "removed", False)):
        assert main([*command, *words]) == 0
        text = capsys.readouterr().out
        assert "logits.npy" in text and text.rstrip().endswith(end)
        assert any(layout.results.glob("teachers/**/*.npy")) == left
