"""Storing teacher outputs, by the steps of the workflow: the study of today decides what is stored,
one pass over the data makes it, and it is the same whatever the precision of the runs."""

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest
from studies import tiny_study, write_study

from kd.jobs import outputs, setup, stored
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.outputs import run_outputs
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.free import free, idle_outputs
from kd.monitor.plan import plan
from kd.monitor.plan_text import plan_text
from kd.runtime.files import aside
from kd.runtime.locks import only_one
from kd.runtime.seals import read_record
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import WRITER, need_of
from kd.teacher import store as teacher_store
from kd.teacher.budget import made_of
from kd.teacher.manifests import array_of
from kd.training import memory

ONE = 2 * 96 * 16 * 32 / 1e9  # about the gigabytes of one layer's hidden states


def grid_of(folder, name="study", **changes):
    study = tiny_study(study=name, **{"axes": {"seed": [1]}, **changes})
    return load_grid(write_study(folder, study, f"{name}.yaml"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A fine-tuned teacher and tokens."""
    folder = tmp_path_factory.mktemp("made")
    grid, layout = grid_of(folder), Layout(folder / "results")
    (run,) = grid.runs.values()
    prepare_task(grid, layout, run.task)
    run_tokenise(grid, layout, run.task, run.tokens_id)
    run_teacher(grid, layout, run.teacher.id, threads=1)
    return layout.results


@pytest.fixture
def layout(made, tmp_path):
    shutil.copytree(made, tmp_path / "results")
    return Layout(tmp_path / "results")


def store(grid, layout):
    """The `outputs` jobs that Snakemake would start: those whose file is not there."""
    for run in grid.runs.values():
        if not layout.need(run).is_file():
            names = (run.teacher.id, run.tokens_id, need_of(run))
            run_outputs(grid, layout, *names, threads=1)


def distil(grid, layout):
    """Train all runs; how many features each read from the store, and computed."""
    store(grid, layout)
    found = []
    for run in grid.runs.values():
        run_distil(grid, layout, run.id, threads=1)
        record = read_record(layout.run(run) / "training.json")
        found.append((record["teacher_outputs_stored"], record["teacher_outputs_computed"]))
    return found


def arrays(layout):
    return {path.stem for path in layout.arrays()}


def names(part):
    return {name.rsplit("/", 1)[1] for name in part}


EVERYTHING = {"logits", "hidden-2", "hidden-3"}


def test_a_study_with_room_stores_what_one_without_did_not(tmp_path, layout):
    without = grid_of(tmp_path, "without", store=False)
    room = grid_of(tmp_path, "room", store={"gigabytes": 50}, axes={"seed": [1, 2]})
    assert distil(without, layout) == [(0, 3)] and arrays(layout) == set()
    before = {path: path.stat().st_mtime_ns for path in layout.results.glob("runs/**/*.json")}
    need = layout.need(next(iter(room.runs.values())))
    said, stamp = need.read_bytes(), need.stat().st_mtime_ns

    found = plan(room, layout)  # the run of seed 1 is done; that of seed 2 is to store
    assert (found["jobs"]["outputs"], found["jobs"]["distil"]) == (0, 1)
    assert names(found["store"]) == EVERYTHING and not found["store_there"]
    (second,) = [run for run in room.runs.values() if run.id not in without.runs]
    run_distil(room, layout, second.id, threads=1)
    record = read_record(layout.run(second) / "training.json")
    assert (record["teacher_outputs_stored"], record["teacher_outputs_computed"]) == (3, 0)
    assert arrays(layout) == EVERYTHING
    # What finished runs are made of is not touched: Snakemake would train them again.
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (need.read_bytes(), need.stat().st_mtime_ns) == (said, stamp)


def test_a_study_without_room_stores_nothing_and_one_with_little_reads_what_is_there(
    tmp_path, layout
):
    room = grid_of(tmp_path, "room", store={"gigabytes": 50})
    without = grid_of(tmp_path, "without", store=False, axes={"seed": [2]})
    little = grid_of(tmp_path, "little", store={"gigabytes": 0}, axes={"seed": [3]})
    assert distil(room, layout) == [(3, 0)]
    assert distil(without, layout) == [(0, 3)]
    assert names(plan(without, layout)["store_computed"]) == set(), "its run is done"
    found = plan(little, layout)
    assert names(found["store_there"]) == EVERYTHING
    assert not found["store"] and not found["store_computed"]
    assert distil(little, layout) == [(3, 0)]
    assert arrays(layout) == EVERYTHING, "no study removes what another one may read"


def test_the_budget_bounds_what_all_studies_have_stored(tmp_path, layout):
    """And what lies there of others is named by the plan and given back by `kd free`."""
    room = {"store": {"gigabytes": 1.5 * ONE}}
    first = grid_of(tmp_path, "first", **room, axes={"knowledge": ["logits+hidden@3-1"]})
    second = grid_of(tmp_path, "second", **room, axes={"knowledge": ["logits+hidden@1-1"]})
    third = grid_of(tmp_path, "third", **room, axes={"knowledge": ["hidden@1-1"]})
    assert distil(first, layout) == [(2, 0)]
    found = plan(second, layout)
    assert names(found["store_computed"]) == {"hidden-1"} and names(found["store_there"]) == {
        "logits"
    }
    assert found["store_others"] == layout.arrays()[0].stat().st_size
    assert "are taken by outputs that no unfinished run" in plan_text(found)
    assert distil(second, layout) == [(1, 1)] and arrays(layout) == {"logits", "hidden-3"}
    for grid in (first, second):
        for run in grid.runs:
            run_evaluate(grid, layout, run, threads=1)
    free(idle_outputs([first, second], layout), layout)
    assert names(plan(third, layout)["store"]) == {"hidden-1"}
    assert distil(third, layout) == [(1, 0)] and arrays(layout) == {"hidden-1"}


def test_what_is_read_from_the_store_takes_its_room_too(tmp_path, layout):
    room = {"store": {"gigabytes": 1.5 * ONE}}
    first = grid_of(tmp_path, "first", **room, axes={"knowledge": ["logits+hidden@3-1"]})
    store(first, layout)
    axes = {"knowledge": ["logits+hidden@3-1", "logits+hidden@1-1"]}
    found = plan(grid_of(tmp_path, "second", **room, axes=axes), layout)
    assert names(found["store_there"]) == {"logits", "hidden-3"}
    assert names(found["store_computed"]) == {"hidden-1"} and not found["store"]


def test_small_outputs_of_others_take_no_room(tmp_path, layout):
    store(grid_of(tmp_path, "first", axes={"knowledge": ["logits+cls@2-2"]}), layout)
    assert arrays(layout) == {"logits", "cls-2"}
    second = grid_of(tmp_path, "second", axes={"knowledge": ["hidden@3-1"]})
    assert plan(second, layout)["store_others"] == 0


def test_sizes_are_exact_once_the_tokens_are_there(tmp_path, layout):
    grid = grid_of(tmp_path, base={**tiny_study()["base"], "knowledge": "logits+hidden+cls@2-2"})
    planned = plan(grid, layout)["store"]
    store(grid, layout)
    for path in layout.arrays():
        (size,) = (size for name, size in planned.items() if name.endswith(f"/{path.stem}"))
        assert 0 < path.stat().st_size - size <= 256, "but for the header of the file"
    assert not plan(grid, layout)["store"]


@pytest.fixture
def seen(monkeypatch):
    """The features of each pass of a teacher that stores, and the examples that it read."""
    passes = []

    class Counted(teacher_store.Capture):
        def __init__(self, model, wanted):
            super().__init__(model, wanted)
            passes.append([set(wanted), 0])

        def __call__(self, **inputs):
            passes[-1][1] += len(inputs["input_ids"])
            return super().__call__(**inputs)

    monkeypatch.setattr(teacher_store, "Capture", Counted)
    return passes


SETS = ["logits", "hidden@3-1", "logits+hidden@1-1", "logits+attention@2-2", "hidden@emd+cls@2-2"]


def test_one_pass_of_the_teacher_serves_the_whole_grid(tmp_path, layout, seen, monkeypatch):
    grid = grid_of(tmp_path, axes={"knowledge": SETS, "seed": [1, 2]})
    needs = {layout.need(run) for run in grid.runs.values()}
    assert len(needs) == plan(grid, layout)["jobs"]["outputs"] == 5
    taken = []
    device = setup.choose_device
    monkeypatch.setattr(setup, "choose_device", lambda wait: taken.append(1) or device(wait))
    store(grid, layout)
    assert all(need.is_file() for need in needs)
    assert [examples for _, examples in seen] == [96], "each example once"
    assert len(taken) == 1, "a job that finds all there takes a device"
    assert plan(grid, layout)["jobs"]["outputs"] == 0 and not plan(grid, layout)["store"]
    assert all(computed == 0 for _, computed in distil(grid, layout))
    assert len(seen) == 1
    # A new value needs one more pass, for what is new.
    more = grid_of(tmp_path, axes={"knowledge": [*SETS, "value-relation@1-1"]})
    assert all(computed == 0 for _, computed in distil(more, layout))
    assert [wanted for wanted, _ in seen[1:]] == [{("value", 1)}]


def test_a_job_that_finds_all_stored_does_not_load_torch(tmp_path, layout):
    grid = grid_of(tmp_path, axes={"knowledge": ["logits", "logits+hidden@3-1"]})
    first, second = grid.runs.values()
    jobs = [(run.teacher.id, run.tokens_id, need_of(run)) for run in (first, second)]
    run_outputs(grid, layout, *jobs[0], threads=1)
    code = (
        "import sys; from pathlib import Path; from kd.jobs.outputs import run_outputs\n"
        "from kd.study.grid import load_grid; from kd.study.paths import Layout\n"
        "study, results, *job = sys.argv[1:]\n"
        "run_outputs(load_grid(study), Layout(Path(results)), *job, threads=1)\n"
        "print('loaded', *({'torch', 'transformers'} & set(sys.modules)))"
    )
    asked = [sys.executable, "-c", code, str(grid.study.path), str(layout.results), *jobs[1]]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1].split() == ["loaded"]
    assert set(read_record(layout.need(second))["stored"]) == {"logits", "hidden-3"}


def test_what_was_freed_comes_back_for_unfinished_runs_alone(tmp_path, layout, seen):
    grid = grid_of(tmp_path, axes={"knowledge": ["logits+hidden@3-1"]})
    distil(grid, layout)
    for run in grid.runs:
        run_evaluate(grid, layout, run, threads=1)
    free(idle_outputs([grid], layout), layout)
    assert arrays(layout) == set()
    more = grid_of(tmp_path, axes={"knowledge": ["logits+hidden@3-1", "logits"]})
    assert names(plan(more, layout)["store"]) == {"logits"}
    store(more, layout)
    assert arrays(layout) == {"logits"} and [wanted for wanted, _ in seen[1:]] == [{("logits", 0)}]


@pytest.mark.parametrize("step", ["outputs", "distil"])
def test_a_job_that_waits_for_another_holds_no_device(tmp_path, layout, monkeypatch, step):
    """The other stores what both need; the one that waited then finds it."""
    grid = grid_of(tmp_path)
    (run,) = grid.runs.values()
    taken, waits = [], []
    device = setup.choose_device
    monkeypatch.setattr(setup, "choose_device", lambda wait: taken.append(1) or device(wait))

    @contextmanager
    def after_another(path, waiting):
        monkeypatch.setattr(outputs, "only_one", only_one)
        assert path.name == WRITER and not taken, "it holds a device and waits"
        other = grid_of(tmp_path, "other", axes={"knowledge": ["logits+hidden+cls@1-1"]})
        store(other, layout)
        taken.clear()
        waits.append(path)
        yield True

    monkeypatch.setattr(outputs, "only_one", after_another)
    if step == "outputs":
        store(grid, layout)
        assert waits and not taken
    else:
        run_distil(grid, layout, run.id, threads=1)
        assert waits and len(taken) == 1
    assert arrays(layout) == {*EVERYTHING, "cls-1"}


def test_what_says_that_outputs_are_stored_is_a_sealed_record(tmp_path, layout):
    grid = grid_of(tmp_path)
    store(grid, layout)
    (need,) = (layout.need(run) for run in grid.runs.values())
    assert set(read_record(need, "stored")["stored"]) == EVERYTHING
    assert "seal" in json.loads(need.read_text())


@pytest.mark.parametrize("gone", ["teacher", "tokens"])
def test_outputs_are_made_of_a_teacher_and_of_tokens(tmp_path, layout, gone):
    (run,) = grid_of(tmp_path).runs.values()
    assert made_of(run, layout).keys() == {"teacher", "tokens"}
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
    shutil.rmtree(tokens if gone == "tokens" else layout.teacher(run.teacher))
    assert made_of(run, layout) is None


def test_what_a_killed_writer_left_is_removed(tmp_path, layout):
    grid = grid_of(tmp_path)
    (run,) = grid.runs.values()
    left = aside(array_of(layout.outputs(run.teacher, run.tokens_id), ("hidden", 3)))
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half an array")
    store(grid, layout)
    assert not left.exists() and arrays(layout) == EVERYTHING


def test_what_no_run_can_read_any_more_makes_room(tmp_path, layout):
    """Arrays of weights that the teacher no longer has."""
    grid = grid_of(tmp_path, axes={"knowledge": ["logits+hidden"]})
    store(grid, layout)
    (folder,) = {path.parent for path in layout.arrays()}
    for name in ("hidden-2", "logits", "hidden-3"):
        manifest = json.loads((folder / f"{name}.json").read_text())
        del manifest["seal"]
        (folder / f"{name}.json").write_text(json.dumps({**manifest, "teacher": "another"}))
    other = grid_of(tmp_path, "other", axes={"knowledge": ["logits+cls@1-1"]})
    store(other, layout)
    assert arrays(layout) == {"logits", "cls-1"}


def test_peak_memory_is_that_of_the_training_alone(tmp_path, layout, monkeypatch):
    """Lost outputs are stored again in the same process, before."""
    happened = []
    write, reset = stored.write_outputs, memory.reset_peak
    monkeypatch.setattr(
        stored, "write_outputs", lambda *given: (happened.append("store"), write(*given))
    )
    monkeypatch.setattr(
        memory,
        "reset_peak",
        lambda device: (happened.append("reset"), reset(device)),
    )
    grid = grid_of(tmp_path)
    (run,) = grid.runs.values()
    run_distil(grid, layout, run.id, threads=1)
    assert happened == ["store", "reset"]
    assert read_record(layout.run(run) / "training.json")["peak_memory_bytes"] is None, "on a CPU"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_stored_and_computed_outputs_teach_the_same(tmp_path, layout, precision):
    """Up to the rounding of what is stored, whatever the precision of the run."""
    base = {**tiny_study()["base"], "precision": precision, "learning_rate": 1e-6}
    losses = {}
    for room in ({"gigabytes": 1}, False):
        grid = grid_of(tmp_path, base={**base, "knowledge": "logits+hidden"}, store=room)
        read = distil(grid, layout)
        (run,) = grid.runs.values()
        record = read_record(layout.run(run) / "training.json")
        assert record["precision_used"] == precision
        losses[read[0]] = record["final_loss"]
    assert losses.keys() == {(3, 0), (0, 3)}
    assert losses[3, 0] == pytest.approx(losses[0, 3], rel=1e-5)
