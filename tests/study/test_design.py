"""The key `design`: what it takes, which cells it draws, and what these mix, checked by hand."""

import json
from itertools import product

import numpy as np
import pytest
from studies import json_of, study_dict, write_study

from kd.cli.main import main
from kd.runtime.errors import UserError
from kd.study.aliasing import aliasing, contrasts, sentences
from kd.study.chosen import choose, mixed_in
from kd.study.design_keys import design_of
from kd.study.grid import load_grid


def found(levels, size, kind="fraction", drop=lambda point: False):
    """(chosen, aliasing) of axes a, b, c, ... with so many values, each cell a run of its own."""
    axes = {chr(97 + i): list(range(k)) for i, k in enumerate(levels)}
    points = [dict(zip(axes, p, strict=True)) for p in product(*axes.values())]
    chosen = choose(design_of({kind: size}), axes, [[p] for p in points if not drop(p)])
    labels = {axis: [str(p[axis]) for p in chosen.points] for axis in axes}
    return chosen, mixed_in(labels)


def coded(rows):
    rows = np.array(rows)
    return {chr(97 + i): contrasts(np.eye(2)[rows[:, i]]) for i in range(rows.shape[1])}


def test_the_textbook_quarter_of_five_axes():
    """2^(5-2) with d = ab and e = ac: bd and ce are mixed with a, ad with b, and so on; bc = de."""
    cells = [
        r for r in product((0, 1), repeat=5)
        if (r[0] + r[1] + r[3]) % 2 == 0 and (r[0] + r[2] + r[4]) % 2 == 0
    ]  # fmt: skip
    mixed = aliasing(coded(cells))
    assert mixed.resolution == 3
    assert {e[0]: set(m.pairs) for e, m in mixed.effects.items()} == {
        "a": {("b", "d"), ("c", "e")}, "b": {("a", "d")}, "c": {("a", "e")},
        "d": {("a", "b")}, "e": {("a", "c")},
    }  # fmt: skip
    assert mixed.unclear["b", "c"] == (("d", "e"),) and mixed.unclear["b", "e"] == (("c", "d"),)
    told = " / ".join(sentences(mixed))
    assert "a cannot be separated from the interactions b × d, c × e" in told
    assert "b × c = d × e" in told and told.startswith("resolution III: ")


def test_axes_that_change_together_cannot_be_told_apart():
    mixed = aliasing(coded([(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)]))
    assert mixed.resolution == 2 and mixed.effects["c",].clear
    assert mixed.effects["a",].axes == (("b",),) and mixed.effects["b",].axes == (("a",),)
    assert "a cannot be separated from b, so" in " / ".join(sentences(mixed))


@pytest.mark.parametrize(
    ("levels", "size", "cells", "resolution"),
    [
        ((2, 2, 2), "1/2", 4, 3),
        ((2, 2, 2, 2), "1/2", 8, 4),
        ((2, 2, 2, 2, 2), "1/2", 16, 5),
        ((2,) * 6, "1/4", 16, 4),
        ((3, 3, 3), "1/3", 9, 3),
        ((4, 2, 2, 3), {"cells": 24}, 24, 3),
    ],
)
def test_the_fraction_has_the_best_known_resolution(levels, size, cells, resolution):
    chosen, mixed = found(levels, size)
    assert (chosen.cells, mixed.resolution, chosen.missing) == (cells, resolution, [])
    for axis, k in zip("abcdef", levels, strict=False):
        values = [p[axis] for p in chosen.points]
        assert {values.count(v) for v in range(k)} == {cells // k}, "every value as often"


def test_cells_that_cannot_run_are_not_drawn_and_the_same_fraction_comes_again():
    chosen, mixed = found((4, 3, 2, 2), {"cells": 20}, drop=lambda p: p["a"] == 0 and p["b"] == 1)
    assert chosen.possible == 44 and not any(p["a"] == 0 and p["b"] == 1 for p in chosen.points)
    assert not any(m.axes for m in mixed.effects.values())
    again, _ = found((4, 3, 2, 2), {"cells": 20}, drop=lambda p: p["a"] == 0 and p["b"] == 1)
    assert again.points == chosen.points


def test_pairs_that_are_asked_for_can_be_told_apart():
    """Half of 2^4 mixes a × b with c × d, unless the study asks for both."""
    names = ["mapping", "student", "init", "teacher"]
    axes = {axis: [0, 1] for axis in names}
    groups = [[dict(zip(axes, p, strict=True))] for p in product(*axes.values())]
    pairs = [names[:2], names[2:]]
    for size in ({"cells": 8}, {"cells": 8, "pairs": pairs}):
        design = design_of({"fraction": size})
        points = choose(design, axes, groups).points
        labels = {axis: [str(p[axis]) for p in points] for axis in axes}
        mixed = mixed_in(labels, tuple(map(tuple, pairs)))
        apart = all(not found.axes for found in mixed.effects.values())
        assert apart == ("pairs" in size)


def test_a_larger_random_part_has_the_smaller_one_in_it():
    few, many = (found((3, 3, 3), {"cells": n}, "random")[0].points for n in (6, 12))
    assert [p for p in many if p in few] == few and len(many) == 12
    other, _ = found((3, 3, 3), {"cells": 6, "seed": 1}, "random")
    assert other.points != few
    single, _ = found((3, 3), {"cells": 2}, "random")
    assert single.missing, "two cells cannot have three values of an axis"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("fractoin", "'fractoin', allowed: factorial, one-at-a-time, fraction, random"),
        ("random", "found random without its size"),
        ({"fraction": "2/1"}, "design.fraction: found '2/1'"),
        ({"fraction": 1}, "design.fraction: found 1"),
        ({"fraction": {"share": "1/2", "cells": 4}}, "one of share and cells"),
        ({"random": {"cells": 1}}, "design.random.cells: found 1"),
        ({"random": {"cells": 8, "pairs": []}}, "design.random: key: found 'pairs'"),
        ({"fraction": {"cells": 8, "pairs": [["student"]]}}, "allowed: two axes"),
        ({"fraction": {"cells": 8, "seed": -1}}, "design.fraction.seed: found -1"),
        ({"fraction": "1/2", "random": 3}, "allowed: factorial"),
    ],
)
def test_mistakes_name_what_is_allowed(value, message):
    with pytest.raises(UserError, match=r"^design") as error:
        design_of(value)
    assert message in str(error.value)


AXES = {
    "mapping": ["first", "last", "uniform"],
    "knowledge": ["logits", "logits+hidden", "logits+attention"],
    "temperature": [1, 4],
    "seed": [1, 2],
    "task": ["rte", "stsb"],
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    def make(design, name, **changes):
        return write_study(
            tmp_path_factory.mktemp("design"), study_dict(axes=AXES, design=design, **changes), name
        )

    return make


def test_task_and_seed_are_crossed_and_ids_are_those_of_the_grid(studies):
    part = load_grid(studies({"fraction": {"cells": 8}}, "part.yaml"))
    whole = load_grid(studies("factorial", "whole.yaml"))
    assert part.runs.keys() < whole.runs.keys()
    # With logits alone the mapping has no effect: 2 + 12 cells can run.
    assert (part.chosen.cells, part.chosen.possible) == (8, 14)
    for task, seed in product(AXES["task"], AXES["seed"]):
        same = [
            {k: v for k, v in run.labels.items() if k not in ("task", "seed")}
            for run in part.runs.values()
            if run.labels["seed"] == str(seed) and run.labels["task"] == task
        ]
        # The temperature has no effect on a regression.
        assert len(same) == 8 if task == "rte" else 0 < len(same) < 8
    for run in part.runs.values():
        assert run.labels == whole.runs[run.id].labels or run.labels["temperature"] != "-"


def test_what_is_excluded_is_no_cell_of_the_part_and_is_shown(studies):
    entry = {"mapping": "first", "knowledge": "logits+hidden"}
    path = studies({"random": 10}, "exclude.yaml", exclude=[entry])
    grid = load_grid(path)
    assert grid.chosen.possible == 12
    assert {why for _, why in grid.pruned} == {"excluded by exclude[0]"}
    assert not any(entry.items() <= run.labels.items() for run in grid.runs.values())


def test_what_is_included_again_runs_with_every_seed(studies):
    entry = {"mapping": "first", "knowledge": "logits+hidden"}
    again = {**entry, "temperature": 4, "task": "rte"}
    path = studies({"random": 10}, "again.yaml", exclude=[entry], include=[again])
    grid = load_grid(path)
    runs = [run.labels["seed"] for run in grid.runs.values() if entry.items() <= run.labels.items()]
    assert runs == [str(seed) for seed in AXES["seed"]]
    assert not [cell for cell, _ in grid.pruned if cell in grid.written.values()]


def test_a_cell_that_is_excluded_with_one_seed_can_be_drawn(studies):
    for seed in AXES["seed"]:
        entry = {"mapping": "first", "seed": seed}
        grid = load_grid(studies({"random": 14}, f"seed{seed}.yaml", exclude=[entry]))
        assert (grid.chosen.cells, grid.chosen.possible) == (14, 14), "cells of one run stay one"
        left = {r.labels["seed"] for r in grid.runs.values() if r.labels["mapping"] == "first"}
        assert left == {str(seed) for seed in AXES["seed"]} - {str(entry["seed"])}


def test_the_plan_says_what_is_mixed(studies, capsys, tmp_path):
    path = studies({"fraction": "1/2"}, "plan.yaml")
    plan = json_of(capsys, "plan", path, "--results", tmp_path)
    assert plan["design"]["kind"] == "fraction" and plan["design"]["cells"] == 7
    assert plan["design"]["mixed"][0].startswith("resolution ")
    assert main(["plan", str(path), "--results", str(tmp_path)]) == 0
    assert "7   of 14 cells that can run, each on every task" in capsys.readouterr().out
    assert json.loads(json.dumps(plan)) == plan


def test_a_study_needs_an_axis_to_take_a_part_of(tmp_path):
    axes = {"seed": [1, 2], "task": ["rte"]}
    study = study_dict(axes=axes, base={"student": "6L-768"}, design={"fraction": "1/2"})
    with pytest.raises(UserError, match="no axis to take a part of"):
        load_grid(write_study(tmp_path, study))
    study = study_dict(axes=AXES, design={"fraction": {"cells": 8, "pairs": [["mapping", "init"]]}})
    with pytest.raises(UserError, match=r"pairs\[0\]: found 'init', allowed: mapping"):
        load_grid(write_study(tmp_path, study))


@pytest.mark.slow
def test_a_part_of_fifty_thousand_cells(tmp_path):
    """Embeddings have no mapping, so five of their cells are one."""
    axes = {
        "mapping": ["first", "last", "uniform", "reverse", "all-to-one"],
        "knowledge": ["logits+hidden", "logits+attention", "logits+embedding", "logits+cls"],
        "temperature": [1, 2, 3, 4, 8], "learning_rate": [1e-5, 3e-5, 1e-4, 3e-4, 1e-3],
        "hard_weight": [0, 0.25, 0.5, 0.75, 1], "epochs": [1, 2, 3, 4, 5],
        "warmup": [0, 0.1, 0.2, 0.3], "seed": [1, 2, 3],
    }  # fmt: skip
    path = write_study(tmp_path, study_dict(axes=axes, design={"fraction": "1/100"}))
    grid = load_grid(path)
    assert (grid.chosen.possible, grid.chosen.cells) == (40_000, 400)
    assert grid.mixed().resolution >= 4
