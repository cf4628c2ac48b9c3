"""Effects where a part of the grid was run: what is given, what is called mixed, and how often."""

from itertools import combinations, product

import numpy as np
import pytest
from fake_runs import grid, of_study, row_of, write
from studies import study_dict, write_study

from kd.results.advice.judge import judge_values
from kd.results.record import load_record
from kd.results.report.answers import answer
from kd.results.report.cautions import cautions
from kd.results.statistics import effects as effects_module
from kd.results.statistics import fraction as fraction_module
from kd.results.statistics.effects import contrasts, pairs, variance
from kd.results.statistics.fraction import adjusted, mixed_effects
from kd.results.statistics.pairing import prepare
from kd.results.statistics.views import axis_view
from kd.runtime.errors import UserError
from kd.study.chosen import choose
from kd.study.design_keys import Design, design_text

SMALL, LARGE = "3L-384-12h-1536", "6L-768-12h-3072"
AXES = {
    "mapping": ["first", "last"],
    "student": [SMALL, LARGE],
    "init": ["random", "teacher-first"],
    "temperature": ["1", "4"],
}
SEEDS = ["1", "2", "3"]


def part(score, keep, axes=AXES, seeds=SEEDS, **more):
    """The runs of the cells for which `keep` is true of the places of their values."""
    kept = {
        values
        for places in product(*(range(len(v)) for v in axes.values()))
        for values in [tuple(v[i] for v, i in zip(axes.values(), places, strict=True))]
        if keep(places)
    }
    frame = grid(score, seed=seeds, **axes, **more)
    inside = [tuple(row) in kept for row in frame[list(axes)].to_numpy()]
    total = int(np.prod([len(v) for v in axes.values()]))
    text = design_text(Design("fraction"), len(kept), total)
    return frame[inside].reset_index(drop=True).assign(design=text)


def even(places):
    return sum(places) % 2 == 0


def gain(cell, **effects):
    return sum(size for axis, size in effects.items() if cell[axis] == AXES[axis][1])


def judged(runs, axis):
    return judge_values(runs, axis, "?", 0.5)


def test_effects_of_a_half_fraction_by_hand():
    """No two of its cells differ in one axis alone; a mean over four cells less one over four."""
    rng = np.random.default_rng(0)
    frame = part(
        lambda c: 0.6 + gain(c, mapping=0.02, student=0.04) + rng.normal(0, 0.002), even
    )  # fmt: skip
    runs = prepare(frame)
    table = pairs(runs, "mapping")
    assert table["worth"].tolist() == pytest.approx([4, 4, 4])
    for _, row in table.iterrows():
        means = frame[frame["seed"] == row["seed"]].groupby("mapping")["score"].mean()
        assert row["difference"] == pytest.approx(means["last"] - means["first"])
    advice = judged(runs, "mapping")
    assert (advice.best, advice.strength, advice.mixed) == ("last", "strong", "")
    assert advice.worse[0].difference == pytest.approx(2, abs=0.2)
    terms = variance(frame)
    assert "student × init" not in set(terms["term"]), "it is mixed with mapping × temperature"
    assert row_of(terms, term="mapping")["p"] < 0.05


def three(places):
    """A half of three axes: each is mixed with the interaction of the other two."""
    return sum(places[:3]) % 2 == 0 and places[3] == 0


THREE = {**AXES, "temperature": ["1"]}


def test_an_interaction_that_looks_like_an_axis_is_not_called_its_effect():
    rng = np.random.default_rng(1)
    both = {"student": LARGE, "init": "teacher-first"}
    frame = part(
        lambda c: 0.6 + 0.03 * (sum(c[k] == v for k, v in both.items()) != 1)
        + rng.normal(0, 0.001), three, THREE,
    )  # fmt: skip
    runs = prepare(frame)
    assert mixed_effects(runs).resolution == 3
    own = contrasts(runs, "mapping").iloc[0]
    assert abs(own["mean"]) > 0.02
    assert np.isnan(own["p"]), "the three axes take all four cells: nothing measures interactions"
    table = variance(frame)
    assert np.isnan(row_of(table, term="mapping or student × init")["p"])
    # A fourth axis leaves residuals, and the mapping stays mixed: a difference, but no answer.
    frame = part(
        lambda c: 0.6 + gain(c, mapping=0.05) + rng.normal(0, 0.001),
        lambda p: (p[0] + p[1] + p[2]) % 2 == 0,
    )
    advice = judged(prepare(frame), "mapping")
    assert (advice.strength, advice.best) == ("mixed", "last")
    told = answer(advice)
    assert told.startswith("Mixed: `last` has the highest mean, and is significantly better than")
    assert "mapping cannot be separated from the interaction student × init" in told


def test_axes_that_cannot_be_told_apart_have_no_effect():
    """The temperature is high where mapping or student is the second, which takes all three."""
    frame = part(
        lambda c: 0.6,
        lambda p: p[2] == 0 and p[3] == (p[0] + p[1] > 0) and p[:2] != (1, 1),
    )
    runs = prepare(frame)
    assert pairs(runs, "temperature").empty and contrasts(runs, "temperature").empty
    advice = judged(runs, "temperature")
    assert (advice.strength, advice.why) == ("open", "mixed")
    assert answer(advice).startswith("Not answered: temperature cannot be separated from")


def test_lost_runs_leave_what_the_others_can_estimate():
    frame = part(lambda c: 0.6 + gain(c, mapping=0.02, student=0.04, init=0.01), even)
    frame.loc[[0, 5], ["score", "status"]] = [np.nan, "failed"]
    own = pairs(prepare(frame), "mapping")
    assert own["difference"].dropna().tolist() == pytest.approx([0.02] * own["difference"].count())
    frame.loc[frame["seed"] == "1", "score"] = np.nan
    own = pairs(prepare(frame), "mapping")
    assert own["difference"].isna().tolist() == [True, False, False]


def test_means_are_adjusted_for_the_other_axes():
    """Of three cells the two small students are both `first`; adjusted, the mapping is worth 1."""
    frame = part(
        lambda c: 0.6 + gain(c, mapping=0.01, student=0.08),
        lambda p: p in {(0, 0, 0, 0), (0, 1, 0, 0), (1, 1, 0, 0)},
    )
    view, note = axis_view(prepare(frame), "mapping")
    means = view.groupby("value")["score"].mean()
    assert means["last"] - means["first"] == pytest.approx(0.01)
    assert view["score"].mean() == pytest.approx(frame["score"].mean()), "the level stays"
    assert "adjusted for the other axes" in note
    assert adjusted(prepare(frame), ["mapping", "student"])["score"].tolist() == pytest.approx(
        frame["score"].tolist()
    )


def test_the_report_says_what_part_was_run(tmp_path):
    axes = {
        "mapping": ["first", "last", "uniform"], "temperature": [1, 4],
        "init": ["teacher-first", "teacher-last"], "seed": [1, 2, 3],
    }  # fmt: skip
    study = write_study(tmp_path, study_dict(axes=axes, design={"fraction": "1/2"}))
    rng = np.random.default_rng(3)
    frame = of_study(study, lambda c: 0.6 + rng.normal(0, 0.01))
    record = write(frame, tmp_path / "runs.csv")
    told = cautions(load_record(record, study))
    assert any("ran a fraction of its grid: 6 of 12 cells." in text for text in told)
    assert any(text.startswith("Resolution III: axes can be separated") for text in told)
    write(frame.assign(design="half"), record)
    with pytest.raises(UserError, match="design: found 'half'"):
        load_record(record)


AXES5 = {**AXES, "mapping": ["first", "last", "uniform"], "learning_rate": ["1e-4", "5e-5"]}


def interactions(rng, size, frame, axes):
    """(runs,) the sum of interactions of each pair of axes, with this standard deviation, that are
    0 on average over each axis in the whole grid."""
    total = np.zeros(len(frame))
    for a, b in combinations(axes, 2):
        table = rng.normal(0, size, (len(axes[a]), len(axes[b])))
        table -= table.mean(axis=0)
        table -= table.mean(axis=1, keepdims=True)
        total += table[frame[a].map(axes[a].index), frame[b].map(axes[b].index)]
    return total


def claims(studies, interaction, start, cells, axes=AXES5):
    """(clear, claimed) of each axis in simulated studies of random cells of 48 and 4 seeds. No axis
    has an effect on average; the interactions of each pair have this standard deviation."""
    rng = np.random.default_rng(start)
    shape = [len(v) for v in axes.values()]
    found = []
    for _ in range(studies):
        order = rng.permutation(48)[:cells]
        keep = {tuple(map(int, np.unravel_index(i, shape))) for i in order}
        frame = part(lambda c: 0.0, keep.__contains__, axes, seeds=["1", "2", "3", "4"])
        score = 0.6 + rng.normal(0, 0.005, len(frame)) + interactions(rng, interaction, frame, axes)
        frame = frame.assign(score=score)
        effects = mixed_effects(frame).effects
        for axis in axes:
            hit = (contrasts(frame, axis)["p_holm"] < 0.05).any()
            found.append((effects[axis,].clear, bool(hit)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("cells", [12, 24])
@pytest.mark.parametrize("interaction", [0.0, 0.005, 0.02])
def test_interactions_alone_give_few_claims_for_axes(monkeypatch, interaction, cells):
    for module in (effects_module, fraction_module):
        monkeypatch.setattr(module, "studied", lambda frame: list(AXES5))
    found = claims(200, interaction, 7, cells)
    for clear in (True, False):
        own = [hit for c, hit in found if c == clear]
        print(f"{cells} cells, {interaction}: clear {clear}: {sum(own)} of {len(own)}")
        assert sum(own) <= 0.05 * len(own) + 3 * np.sqrt(0.05 * 0.95 * len(own))


MAINS = {"mapping": [0, 0.5, 1.5], "student": [0, 2], "init": [0, 0.5], "temperature": [0, 0],
         "learning_rate": [0, 1]}  # fmt: skip
DRAWS = 5  # designs of a line


def drawn_part(kind, cells, draw):
    """The runs of a drawn part of the 48 cells, with 4 seeds."""
    groups = [[dict(zip(AXES5, values, strict=True))] for values in product(*AXES5.values())]
    points = choose(Design(kind, cells, seed=draw), AXES5, groups).points
    places = {tuple(AXES5[axis].index(p[axis]) for axis in AXES5) for p in points}
    frame = part(lambda c: 0.0, places.__contains__, AXES5, seeds=["1", "2", "3", "4"])
    return frame.assign(design=design_text(Design(kind), cells, 48))


def known_effects(kind, cells, interaction, studies):
    """(clear, covered, significant, wrong sign) of each difference of two values in simulated
    studies with the main effects MAINS; sizes in points, the noise of a run is 0.5 points."""
    rng = np.random.default_rng(cells)
    rows = []
    for draw in range(DRAWS):
        frame = drawn_part(kind, cells, draw)
        effects = mixed_effects(frame).effects
        main = sum(
            frame[axis].map(dict(zip(AXES5[axis], own, strict=True))) for axis, own in MAINS.items()
        )
        for _ in range(studies // DRAWS):
            noise = rng.normal(0, 0.5, len(frame))
            points = main + noise + interactions(rng, interaction, frame, AXES5)
            own = frame.assign(score=0.6 + points / 100)
            for axis, sizes in MAINS.items():
                true = dict(zip(AXES5[axis], sizes, strict=True))
                for row in contrasts(own, axis).to_dict("records"):
                    gap = true[row["b"]] - true[row["a"]]
                    covered = row["low"] <= gap / 100 <= row["high"]
                    sure = row["p_holm"] < 0.05
                    wrong = sure and gap * row["mean"] <= 0
                    known = not np.isnan(row["low"])
                    rows.append((effects[axis,].clear, known, covered, sure, wrong))
    return np.array(rows, dtype=bool)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fraction", "random"])
@pytest.mark.parametrize("cells", [12, 24])
@pytest.mark.parametrize("interaction", [0.0, 0.5, 2.0])
def test_intervals_of_a_part_cover_known_effects(monkeypatch, interaction, cells, kind):
    for module in (effects_module, fraction_module):
        monkeypatch.setattr(module, "studied", lambda frame: list(AXES5))
    rows = known_effects(kind, cells, interaction, 50)
    for clear in (True, False):
        own = rows[(rows[:, 0] == clear) & rows[:, 1]]
        if not len(own):
            continue
        _, _, covered, sure, wrong = own.mean(axis=0)
        print(f"{kind} {cells} {interaction}: clear {clear}: {len(own)} differences", end=", ")
        print(f"covered {covered:.3f}, significant {sure:.3f}, wrong sign {wrong:.3f}")
        # Differences of one study share its interactions, so they are worth fewer.
        assert covered > 0.95 - 4 * np.sqrt(0.95 * 0.05 / (len(own) / 7))
        assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / len(own))


def test_an_interaction_that_was_asked_for_has_no_test_where_another_one_mixes_with_it():
    """In a half of 2^4, a × b has the same contrast as c × d."""
    axes = {"temperature": ["1", "4"], "hard_weight": ["0.5", "1"], "epochs": ["3", "6"],
            "batch_size": ["16", "32"]}  # fmt: skip
    rng = np.random.default_rng(0)

    def score(cell):
        both = [axes[name].index(cell[name]) for name in ("epochs", "batch_size")]
        return 0.6 + 0.02 * (both[0] == both[1]) + rng.normal(0, 0.002)

    frame = part(score, even, axes, ["1", "2", "3", "4"])
    asked = Design("fraction", pairs=(("temperature", "hard_weight"),))
    frame["design"] = design_text(asked, 8, 16)
    table = variance(frame)
    (row,) = [row for row in table.itertuples() if "temperature × hard_weight" in row.term]
    assert row.term == "temperature × hard_weight or epochs × batch_size"
    assert np.isnan(row.p), "it is not known which of the two it is"
