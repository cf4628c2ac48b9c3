"""What is stored: all that runs read, within the budget, and nothing that no run reads."""

from dataclasses import replace

from studies import study_dict, tiny_study, write_study

from kd.cli.main import main
from kd.monitor.plan import plan
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import key_bytes, keys_of, name_of, need_of
from kd.teacher.budget import choose_outputs


def grid_of(tmp_path, **changes):
    return load_grid(write_study(tmp_path, tiny_study(**changes)))


def names(grid):
    """What is stored where nothing lies yet."""
    choice = choose_outputs(grid, Layout("no-results"), grid.runs.values())
    assert not choice.there and not choice.others
    return {name_of(key) for *_, key in choice.new}


def test_keys_are_what_the_terms_read_of_the_teacher(tmp_path):
    knowledge = ["none", "logits", "logits+hidden@3-1+cls@2-2", "attention@3-2+pooled@1-1"]
    grid = grid_of(tmp_path, axes={"knowledge": knowledge})
    assert names(grid) == {
        *("logits", "hidden-3", "cls-2", "query-3", "key-3", "pooled-1"),
    }
    by_knowledge = {run.labels["knowledge"]: run for run in grid.runs.values()}
    assert keys_of(by_knowledge["none"]) == frozenset() and need_of(by_knowledge["none"]) == ""
    assert keys_of(by_knowledge["logits"]) == {("logits", 0)}


def test_runs_that_need_the_same_share_one_need(tmp_path):
    axes = {"knowledge": ["logits+hidden:mse", "logits+hidden:cka"], "seed": [1, 2]}
    grid = grid_of(tmp_path, axes=axes)
    assert len(grid.runs) == 4 and len({need_of(run) for run in grid.runs.values()}) == 1
    axes = {"knowledge": ["hidden@1-1", "hidden@1-1+logits", "hidden@1-1+hidden@3-2"]}
    assert len({need_of(run) for run in grid_of(tmp_path, axes=axes).runs.values()}) == 3


def test_errata_that_need_the_teacher_itself_store_nothing(tmp_path):
    axes = {"errata": ["none", "padding"]}
    grid = grid_of(tmp_path, axes=axes)
    assert [bool(keys_of(run)) for run in grid.runs.values()] == [True, False]


def test_bytes_are_those_of_the_arrays(tmp_path):
    """32 wide, 96 examples of 16 tokens on average, 2 classes."""
    (run, *_) = grid_of(tmp_path, axes={"seed": [1]}).runs.values()
    assert key_bytes(run, ("logits", 0)) == 4 * 96 * 2
    assert key_bytes(run, ("cls", 1)) == 2 * 96 * 32
    assert key_bytes(run, ("hidden", 1)) == key_bytes(run, ("query", 1)) == 2 * 96 * 16 * 32


def test_the_budget_takes_what_most_runs_read_and_always_what_is_small(tmp_path):
    knowledge = ["logits+hidden@3-1", "logits+hidden@3-2", "logits+hidden@1-1+cls@2-1"]
    one = 2 * 96 * 16 * 32 / 1e9
    for budget, wanted in (
        ({"gigabytes": 0}, {"logits", "cls-2"}),
        ({"gigabytes": one * 1.5}, {"logits", "cls-2", "hidden-3"}),
        ({"gigabytes": one * 2}, {"logits", "cls-2", "hidden-3", "hidden-1"}),
        (False, set()),
    ):
        assert names(grid_of(tmp_path, axes={"knowledge": knowledge}, store=budget)) == wanted


def test_the_budget_goes_where_a_byte_serves_most_runs(tmp_path):
    """MNLI has two runs, and a hundred times the tokens of RTE, which has one run."""
    path = write_study(tmp_path, study_dict(axes={"task": ["rte", "mnli"], "seed": [1, 2]},
                                            exclude=[{"task": "rte", "seed": 2}]))  # fmt: skip
    grid = load_grid(path)
    runs = {run.task: run for run in grid.runs.values()}
    large = {task: sum(key_bytes(run, key) for key in keys_of(run) if key[0] == "hidden")
             for task, run in runs.items()}  # fmt: skip
    assert large["mnli"] > 50 * large["rte"] > 0
    grid = replace(grid, study=replace(grid.study, store_bytes=large["mnli"]))
    choice = choose_outputs(grid, Layout("no-results"), grid.runs.values())
    kept = {task: choice.keys(run) for task, run in runs.items()}
    assert kept["rte"] == keys_of(runs["rte"])
    assert ("logits", 0) in kept["mnli"] and kept["mnli"] < keys_of(runs["mnli"])


def test_plan_shows_the_sizes_and_counts_the_jobs(tmp_path):
    knowledge = ["none", "logits", "logits+hidden"]
    grid = grid_of(tmp_path, axes={"knowledge": knowledge, "seed": [1, 2]})
    found = plan(grid, Layout(tmp_path / "results"))
    assert found["jobs"]["outputs"] == 2
    assert {name.rsplit("/", 1)[1] for name in found["store"]} == {"logits", "hidden-2", "hidden-3"}
    assert found["disk_bytes"] > sum(found["store"].values()) > 0
    off = plan(grid_of(tmp_path, axes={"knowledge": knowledge}, store=False), Layout(tmp_path))
    assert off["store"] == {}


def test_four_layers_of_mnli_are_too_much_by_default(tmp_path):
    base = {"student": "4L-768", "task": "mnli", "knowledge": "logits+hidden"}
    grid = load_grid(write_study(tmp_path, study_dict(base=base, axes={"seed": [1]})))
    (run,) = grid.runs.values()
    hidden = sum(key_bytes(run, key) for key in keys_of(run) if key[0] == "hidden")
    assert 90e9 < hidden < 100e9
    assert names(grid) == {"logits"}


def test_a_bad_budget_is_a_sentence(tmp_path, capsys):
    for store, message in (
        ({"gigabyte": 3}, "store: key: found 'gigabyte', allowed: gigabytes (did you mean"),
        ({"gigabytes": -1}, "store.gigabytes: found -1, allowed: a number from 0"),
        ({"gigabytes": "many"}, "allowed: false, or {gigabytes: NUMBER}"),
        (True, "store: found True, allowed: false"),
    ):
        path = write_study(tmp_path, tiny_study(store=store))
        assert main(["plan", str(path)]) == 2
        assert message in capsys.readouterr().err
