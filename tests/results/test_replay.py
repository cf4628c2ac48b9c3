"""Replays of a whole study with fewer of its runs, and the page that is made of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from drawn import texts
from fake_runs import grid
from matplotlib.backends.backend_agg import FigureCanvasAgg
from planted import lose

from kd.cli.main import main
from kd.results.replay.figure import replay_figure, telling
from kd.results.replay.page import page_text
from kd.results.replay.replay import Truth, _by_way, found, replayed, shown_by, whole_of
from kd.results.replay.simulated import EFFECTS, simulated
from kd.results.replay.ways import ALL, ALONE, NEXT, _drawn, looks_for, samples
from kd.results.statistics.runs import studied
from kd.study.design_keys import read_design

ROOT = Path(__file__).parents[2]
GAINS = {"last": 0.05, "2": 0.01}


def factorial(**more):
    rng = np.random.default_rng(2)
    return grid(
        lambda c: 0.6 + sum(GAINS.get(v, 0) for v in c.values()) + rng.normal(0, 0.001),
        mapping=["first", "last"], temperature=["2", "4"], seed=["1", "2", "3"], **more,
    )  # fmt: skip


def test_only_tasks_and_seeds_with_every_cell_are_replayed():
    frame = factorial(task=["rte", "mrpc"])
    assert len(whole_of(frame)) == 24
    lost = lose(lose(frame, task="rte", seed="2"), task="mrpc", seed="1")
    assert "no task has 3 seeds" in whole_of(lost)
    one = whole_of(lose(frame, task="rte", seed="2"))
    assert set(one["task"]) == {"mrpc"} and len(one) == 12
    further = frame[(frame["seed"] != "3") | (frame["mapping"] == "first")]
    assert "no task has 3 seeds" in whole_of(further), "kd next adds seeds to some cells alone"
    part = frame.assign(design='{"kind": "fraction", "cells": 2, "possible": 4, "pairs": []}')
    assert whole_of(part) == "it ran a part of its grid"


def test_a_draw_that_ends_early_stays_at_its_last_step():
    ends = {"way": NEXT, "step": 0, "runs": 0.25, "best": 1.0, "signs": 1.0}
    goes_on = [{**ends, "step": step, "runs": 0.25 + step / 4, "best": 0.0} for step in (0, 1, 2)]
    ways = _by_way([ends, *goes_on])
    assert [step["best"] for step in ways[NEXT]] == [0.5, 0.5, 0.5]
    assert [step["best_error"] for step in ways[NEXT]] == [0.5] * 3, "(1 / √2) / √2"
    assert [step["signs_error"] for step in ways[NEXT]] == [0.0] * 3
    assert [step["runs"] for step in ways[NEXT]] == [0.25, 0.375, 0.5]


def test_what_a_sample_finds_of_what_all_runs_show():
    whole = whole_of(factorial())
    truth = shown_by(whole)
    assert truth.best == {"mapping": "last", "temperature": "2"} and len(truth.effects) == 2
    turned = Truth(truth.best, {(axis, b, a): gap for (axis, a, b), gap in truth.effects.items()})
    assert found(whole, turned) == {"best": 1.0, "signs": 0.0}
    rng = np.random.default_rng(3)
    tied = shown_by(grid(
        lambda c: 0.6 - 0.1 * (c["mapping"] == "first") + rng.normal(0, 0.002),
        mapping=["first", "last", "uniform"], seed=["1", "2", "3"],
    ))  # fmt: skip
    assert not tied.best and len(tied.effects) == 2, "the best two do not differ"
    alone = whole[whole["temperature"] == "4"]
    assert found(alone, truth) == {"best": 0.5, "signs": 0.5}, "it says nothing of temperature"


@pytest.mark.slow
def test_a_replay_finds_all_with_all_runs():
    facts = replayed("small", [(whole_of(factorial()), None)], 0.5)
    assert (facts["runs"], facts["cells"], facts["seeds"], facts["effects"]) == (12, 4, 3, 2)
    ways = facts["ways"]
    assert set(ways) == {ALL, ALONE, NEXT}, "four cells are too few for a fraction of them"
    assert [ways[ALL][-1][key] for key in ("runs", "best", "signs")] == [1.0, 1.0, 1.0]
    assert [step["runs"] for step in ways[ALONE]] == [0.25, 0.5, 0.75]
    assert ways[NEXT][0]["runs"] == pytest.approx(2 / 3, abs=1e-3), "two seeds, the first look"


def test_parts_are_drawn_as_a_study_draws_them():
    whole, truth = next(simulated(1))
    assert truth.best["mapping"] == "uniform" and len(truth.effects) == 6 + 1 + 1 + 1
    cell = whole.groupby(studied(whole), sort=False).ngroup().to_numpy()
    drawn = _drawn(whole, cell, 0)
    assert [len(kept) for _, kept, _ in drawn] == [16, 8, 16, 8]
    for way, kept, text in drawn:
        design, possible = read_design([text])
        assert design.kind in way and (design.cells, possible) == (len(kept), 32)
    first = next(samples(whole, 3, 0.5))
    assert first[0] == ALL and first[1]["seed"].unique().tolist() == ["1"] and len(first[1]) == 32
    assert looks_for(12) == (3, 5, 8, 12) and looks_for(3) == (2, 3)
    means = whole.groupby("mapping")["score"].mean()
    assert 100 * (means["reverse"] - means["uniform"]) == pytest.approx(
        EFFECTS["mapping"]["reverse"], abs=0.7
    )


def test_the_page_is_made_of_its_facts():
    facts = json.loads((ROOT / "docs/replay.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/replay.md").read_text(encoding="utf-8")
    assert page == page_text(facts["replays"], facts["left_out"], "replay.png"), "make replay"
    for replay in facts["replays"]:
        last = replay["ways"][ALL][-1]
        assert last["runs"] == 1
        if not replay["name"].startswith("simulated"):
            assert last["best"] == (1 if replay["best"] else None)
            assert last["signs"] == (1 if replay["effects"] else None)
    shown = texts(replay_figure(facts["replays"]))
    assert 1 < len(telling(facts["replays"])) < len(facts["replays"])
    for replay in telling(facts["replays"]):
        assert f"{replay['name']}: {replay['runs']} runs" in shown
    assert NEXT in shown


def test_a_study_without_effects_keeps_the_figures_layout():
    step = {"runs": 0.5, "best": 0.5, "best_error": 0.1, "signs_error": None}
    shown, none = ({"runs": 20, "ways": {ALL: [{**step, "signs": s}]}} for s in (0.5, None))
    figure = replay_figure([{"name": "with", **shown}, {"name": "without", **none}])
    FigureCanvasAgg(figure).draw()
    for ax in figure.axes:
        assert ax.get_position().width > 0.3 and ax.get_position().height > 0.2
    assert "no signs of effects to find" in texts(figure)


def test_a_replay_of_nothing_is_one_sentence(capsys, tmp_path):
    assert main(["replay"]) == 2 and "RECORD: missing" in capsys.readouterr().err
    assert main(["replay", str(tmp_path), "--page", "x.txt"]) == 2
    assert "allowed: a name that ends with .md" in capsys.readouterr().err
