"""The power of a study: its contrasts, their families, the average over tasks, text and figure."""

import json

import numpy as np
import pytest
from fake_runs import grid, of_study, write
from studies import json_of, study_dict, tiny_study, write_study

from kd.cli.main import main
from kd.results.power.detect import Design, needed, smallest
from kd.results.power.figure import power_figure
from kd.results.power.study import power_text, study_power
from kd.results.power.variances import Known, Noise, Variance, known_from
from kd.results.statistics.effects import contrasts
from kd.results.statistics.pairing import prepare

MAPPINGS = ["first", "last", "uniform"]
PILOT = Known(
    "pilot",
    axes={("mapping", "rte"): Variance(4e-4, 1e-4, 20, "pilot"),
          ("mapping", "cola"): Variance(1e-4, np.nan, 8, "pilot")},
    bound={"cola": Noise(0.01, 1043, False)},
    measured={("mapping", "first", "last", "rte"): Noise(0.02, 277, True)},
)  # fmt: skip
STUDENTS = ["3L-384-12h-1536", "6L-768-12h-3072"]


def planned(**axes):
    seeds = [str(i) for i in range(1, 6)]
    return grid(lambda c: None, **{"mapping": MAPPINGS, "seed": seeds} | axes)


def row(found, **where):
    (one,) = (r for r in found["contrasts"] if where.items() <= r.items())
    return one


@pytest.fixture(scope="module")
def found():
    frame = planned(task=["rte", "cola"], student=STUDENTS)
    return study_power(frame, [PILOT], 1.0)


def test_every_contrast_is_tested_in_the_family_of_its_axis(found):
    own = [r for r in found["contrasts"] if r["axis"] == "mapping"]
    assert len(own) == 3 * 3, "three pairs; the average, and each of two tasks"
    assert {r["family"] for r in own} == {3}
    assert {r["family"] for r in found["contrasts"] if r["axis"] == "student"} == {1}
    rte = row(found, axis="mapping", a="first", b="last", task="rte")
    # Two students: 1e-4 + (4e-4 - 1e-4) / 2 of a fraction, 2.5 points².
    design = Design((np.sqrt(2.5),), 0.05 / 3)
    assert rte["sd"] == pytest.approx(np.sqrt(2.5)) and rte["seeds"] == 5
    assert rte["smallest"] == pytest.approx(smallest(design, 5))
    assert rte["needed"] == needed(design, 1.0) <= rte["needed_cautious"]
    mean = row(found, axis="mapping", a="first", b="last", task="average")
    assert mean["tasks"] == 2 and mean["smallest"] == pytest.approx(
        smallest(Design((np.sqrt(2.5), 1.0), 0.05 / 3), 5)
    )


def test_the_examples_of_rte_hide_small_differences_from_any_number_of_seeds(found):
    rte = row(found, axis="mapping", a="first", b="last", task="rte")["examples"]
    assert rte["measured"] and rte["count"] == 277
    assert rte["never"] == pytest.approx((2.41 + 0.84) * 2, abs=0.02) and rte["needed"] is None
    cola = row(found, axis="mapping", a="first", b="last", task="cola")["examples"]
    assert not cola["measured"]
    text = power_text(found)
    assert "never" in text and "≤" in text and "mapping: 3 pairs" in text
    assert json.loads(json.dumps(found)) == found


def test_a_task_without_a_variance_is_named_and_leaves_no_average():
    found = study_power(planned(task=["rte", "mnli", "stsb"]), [PILOT], 1.0)
    assert {r["task"] for r in found["contrasts"]} == {"rte"}
    assert [r["task"] for r in found["unknown"]] == ["mnli", "stsb"]
    text = power_text(found)
    assert "No record has a variance for mnli, stsb" in text and "mnli 0.6" in text


def test_the_first_source_that_knows_a_task_counts():
    other = Known("other", axes={("mapping", "cola"): Variance(9e-4, np.nan, 5, "other")})
    found = study_power(planned(task=["rte", "cola"]), [other, PILOT], 1.0)
    assert row(found, b="last", a="first", task="cola")["source"] == "other"
    assert row(found, b="last", a="first", task="rte")["source"] == "pilot"


def test_one_seed_finds_nothing():
    own = row(study_power(planned(seed=["1"]), [PILOT], 1.0), a="first", b="last")
    assert own["smallest"] is None and own["needed"] > 1


def test_a_figure_has_a_line_for_each_task_and_the_wanted_difference(found):
    figure = power_figure(found)
    panel = next(ax for ax in figure.axes if ax.get_title() == "mapping")
    lines = {line.get_gid(): line for line in panel.lines}
    assert {"power rte", "power cola", "power average", "wanted", "planned"} <= set(lines)
    seeds, gaps = lines["power average"].get_data()
    at = row(found, axis="mapping", a="first", b="last", task="average")["smallest"]
    assert gaps[list(seeds).index(5)] == pytest.approx(at)


@pytest.mark.slow
def test_holms_correction_finds_at_least_what_is_predicted_from_a_pilot():
    """A true difference of the predicted size, in studies with the noise of a pilot of 40 seeds."""
    rng = np.random.default_rng(5)

    def study(seeds):
        names = [str(i) for i in range(seeds)]
        return grid(lambda c: 0.0, mapping=MAPPINGS, student=STUDENTS, seed=names)

    def noisy(frame, gap):
        units = frame.groupby(["mapping", "seed"]).ngroup().to_numpy()
        noise = rng.normal(0, 0.01, units.max() + 1)[units] + rng.normal(0, 0.01, len(frame))
        return frame.assign(score=0.6 + gap * (frame["mapping"] == "last") + noise)

    pilot, own = known_from(noisy(study(40), 0.0), {}, "pilot"), study(4)
    gap = row(study_power(own, [pilot], 1.0), a="first", b="last", task="rte")["smallest"] / 100
    hits = []
    for _ in range(150):
        table = contrasts(prepare(noisy(own, gap)), "mapping").set_index(["a", "b"])
        hits.append(table.loc[("first", "last"), "p_holm"] < 0.05)
    assert 0.7 < np.mean(hits) < 0.95, "0.8, more by Holm's steps; the pilot is a sample too"


def test_the_command_takes_a_record_the_own_results_or_the_shipped_table(tmp_path, capsys):
    path = write_study(tmp_path, study_dict(axes={"mapping": ["first", "last"], "seed": [1, 2, 3]}))
    there = ["power", path, "--results", tmp_path / "results"]
    assert [r["task"] for r in json_of(capsys, *there)["unknown"]] == ["rte"]
    rng = np.random.default_rng(0)
    record = write(of_study(path, lambda c: 0.6 + rng.normal(0, 0.01)), tmp_path / "runs.csv")
    (own,) = json_of(capsys, *there, "--from", record)["contrasts"]
    assert own["seeds"] == 3 and own["source"] == str(record)
    folder = tmp_path / "results/studies/test"
    folder.mkdir(parents=True)
    record.rename(folder / "runs.csv")
    (again,) = json_of(capsys, *there, "--difference", "3")["contrasts"]
    assert again["smallest"] == own["smallest"] and again["needed"] < own["needed"]
    toys = write_study(tmp_path, tiny_study(study="toys"), "toys.yaml")
    (shipped,) = json_of(capsys, "power", toys, "--results", tmp_path / "none")["contrasts"]
    assert shipped["source"] == "shipped record demo"


def test_mistakes_are_one_sentence_and_a_figure_is_written(tmp_path, capsys):
    path = str(write_study(tmp_path, tiny_study()))
    figure = tmp_path / "new" / "power.pdf"
    assert main(["power", path, "--figure", str(figure)]) == 0 and figure.stat().st_size > 1000
    capsys.readouterr()
    for words, message in (
        (["--figure", "power.doc"], "found power.doc, allowed: a name with .png, .pdf, .svg"),
        (["--from", "nowhere"], "nowhere: no record of runs"),
    ):
        assert main(["power", path, *words]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["power", path, "--difference", "-1"])
    assert "allowed: above 0, up to 100 points" in capsys.readouterr().err
