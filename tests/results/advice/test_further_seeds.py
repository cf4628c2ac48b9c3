"""Which cells deserve further seeds: the order of contrasts, the cells, and what is in the file."""

import numpy as np
import pytest
import yaml
from fake_runs import grid, of_study, write
from scipy import stats
from studies import json_of, study_dict, write_study

from kd.cli.main import main
from kd.results.advice.further_seeds import chance_of, chosen_steps, next_steps
from kd.results.advice.verdict import Contrast
from kd.runtime.errors import UserError
from kd.study.further import entries_of, with_entries
from kd.study.grid import load_grid

LOOKS = (3, 5, 8)
MEANS = {"first": 0.66, "last": 0.657, "uniform": 0.64, "reverse": 0.1}


def test_the_chance_of_a_decision_is_its_frequency():
    """Simulated: the true difference given what is known, new seeds, and the test at the look."""
    rng = np.random.default_rng(0)
    many, now, look, sd = 100_000, 40, 80, 3.0  # so many seeds that the spread is known
    c = Contrast("a", "b", 0.8, 0, 0, 1, 1, 1, 1, now, sd / np.sqrt(now), now - 1)
    for margin, comparisons in ((0.5, 3), (1.5, 1)):
        true = c.difference + c.error * rng.standard_t(c.free, many)
        new = true + rng.normal(0, sd / np.sqrt(look - now), many)
        mean = (now * c.difference + (look - now) * new) / look
        rate, error = 0.05 * (look - now) / look, sd / np.sqrt(look)
        clear = stats.t.isf(rate / comparisons / 2, look - 1) * error
        half = stats.t.isf(rate / 2, look - 1) * error
        decided = (np.abs(mean) > clear) | (np.abs(mean) + half <= margin)
        chance = chance_of(c, look, (now, look), comparisons, margin)
        assert chance == pytest.approx(decided.mean(), abs=0.02)


def collected(path, results):
    """The record of a study file as it is now."""

    def score(cell):
        noise = np.random.default_rng([int(cell["seed"]), len(cell["mapping"]), 5])
        return MEANS[cell["mapping"]] + noise.normal(0, 0.01)

    folder = results / "studies" / "more"
    folder.mkdir(parents=True, exist_ok=True)
    write(of_study(path, score).assign(looks="3 5 8"), folder / "runs.csv")


def test_the_open_contrasts_get_seeds_and_the_study_file_their_cells(tmp_path, capsys):
    axes = {"mapping": ["first", "last", "reverse"], "seed": [1, 2, 3]}
    path = write_study(tmp_path, study_dict(study="more", looks=list(LOOKS), axes=axes))
    path.write_text("# by hand\n" + path.read_text(), newline="\r\n")
    before = load_grid(path).runs.keys()
    words = ["next", str(path), "--results", str(tmp_path)]
    assert main(words) == 2 and "runs.csv: missing; `kd collect" in capsys.readouterr().err
    collected(path, tmp_path)
    facts = json_of(capsys, *words, "--runs", 4, "--write")
    (question,) = facts["questions"]
    assert (question["best"], question["decided"]) == ("first", ["reverse"])
    (step,) = facts["steps"]
    assert (step["other"], step["look"], step["next_look"]) == ("last", 3, 5)
    assert 0 < step["chance"] < 1 and step["runs"] == facts["runs"] == 4
    assert facts["device_hours"] > 0 and facts["waiting"] == 0
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b"# by hand\r" and all(line.endswith(b"\r") for line in lines[:-1])
    new = {r.id: r.labels for r in load_grid(path).runs.values() if r.id not in before}
    cells = {(labels["mapping"], labels["seed"]) for labels in new.values()}
    assert cells == {(v, s) for v in ("first", "last") for s in ("4", "5")} and len(new) == 4
    assert before < load_grid(path).runs.keys()
    collected(path, tmp_path)
    assert main([*words, "--runs", "5"]) == 0
    told = capsys.readouterr().out
    assert "with 5 seeds; chance of a decision at 8 seeds" in told
    assert "not within 5 runs:" in told


def test_steps_share_cells_and_fit_the_runs_that_are_given():
    rng = np.random.default_rng(4)
    frame = grid(
        lambda c: {**MEANS, "uniform": 0.657}[c["mapping"]] + rng.normal(0, 0.004),
        mapping=list(MEANS), seed=["1", "2", "3"],
    ).assign(looks="3 5 8")  # fmt: skip
    steps, (advice,) = next_steps(frame, 0.1)
    assert {s.contrast for s in steps} == {*advice.not_worse}
    assert steps[0].rate >= steps[1].rate
    assert [s.cost for s in steps] == [4, 4]
    chosen = chosen_steps(steps)
    assert [s.cost for s in chosen] == [4, 2], "the best value's seeds count once"
    assert len(chosen_steps(steps, 5)) == 1 and chosen_steps(steps, 3) == []
    assert [s.cost for s in chosen_steps(steps, each_cell=3)] == [12, 6], "three values are tuned"
    failed = frame.assign(
        status=frame["status"].mask(frame["seed"] == "2", "failed"),
        score=frame["score"].mask(frame["seed"] == "2"),
    )
    steps, answered = next_steps(failed, 0.1)
    assert answered == [], "no look is complete, so nothing leads"
    assert len(steps) == 6 and {seed for s in steps for _, seed in s.needs} == {4}
    assert [s.cost for s in chosen_steps(steps)] == [2, 1, 1, 0, 0, 0], "the next seed, for all"


@pytest.mark.parametrize(
    ("base", "preset", "more"),
    [
        ({"knowledge": "logits"}, ["none", "pkd-skip"], {"knowledge": "none"}),
        ({"preset": "pkd-last"}, None, {"preset": "pkd-skip"}),
    ],
)
def test_an_entry_names_a_preset_without_its_keys(tmp_path, base, preset, more):
    axes = {"temperature": [1, 2], "seed": [1], **({"preset": preset} if preset else {})}
    base = {"student": "6L-768", "task": "rte", **base}
    study = study_dict(base=base, axes=axes, include=[more])
    before = load_grid(write_study(tmp_path, study))
    entries = entries_of(before, [(run, 2) for run in before.runs])
    assert all({*entry} <= {"preset", "temperature", "seed", "knowledge"} for entry in entries)
    after = load_grid(write_study(tmp_path, {**study, "include": [*study["include"], *entries]}))
    new = [run.spec for id, run in after.runs.items() if id not in before.runs]
    seeds = load_grid(write_study(tmp_path, {**study, "axes": {**axes, "seed": [2]}}))
    assert new and sorted(map(str, new)) == sorted(str(run.spec) for run in seeds.runs.values())


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("a: 1\n", "a: 1\ninclude:\n  # why\n  - {seed: 4}\n"),
        (
            "include: # more\n- {seed: 1}\n\n# next\nb: 2",
            "include: # more\n- {seed: 1}\n# why\n- {seed: 4}\n\n# next\nb: 2\n",
        ),
        (
            "include:\n  - seed: 1\n    task: rte\nb: 2",
            "include:\n  - seed: 1\n    task: rte\n  # why\n  - {seed: 4}\nb: 2\n",
        ),
    ],
)
def test_entries_are_added_and_all_else_stays(text, end):
    assert with_entries(text, [{"seed": 4}], "why") == end
    windows = [part.replace("\n", "\r\n") for part in (text, end)]
    assert "\n" not in text or with_entries(windows[0], [{"seed": 4}], "why") == windows[1]
    assert yaml.safe_load(end)["include"][-1] == {"seed": 4}


def test_a_list_in_one_line_is_refused():
    with pytest.raises(UserError, match="one entry a line"):
        with_entries("include: [{seed: 1}]\n", [{"seed": 4}], "why")


def test_a_study_without_looks_is_told_how(tmp_path, capsys):
    assert main(["next", str(write_study(tmp_path, study_dict()))]) == 2
    assert "kd next needs the key looks" in capsys.readouterr().err


def test_no_seeds_go_to_a_task_at_the_constant_answer():
    rng = np.random.default_rng(4)
    frame = grid(
        lambda c: MEANS[c["mapping"]] - 0.2 * (c["task"] == "mrpc") + rng.normal(0, 0.004),
        mapping=list(MEANS), task=["rte", "mrpc"], seed=["1", "2", "3"],
    ).assign(looks="3 5 8")  # fmt: skip
    alone = frame[frame["task"] == "rte"].reset_index(drop=True)
    steps, judged = next_steps(frame, 0.1)
    assert steps and (steps, judged) == next_steps(alone, 0.1)
