"""Variance explained and contrasts: by hand, against statsmodels, and under known truth."""

import numpy as np
import pandas as pd
import pytest
from fake_runs import frame_of, grid, one_run
from statsmodels.formula.api import ols
from statsmodels.stats.anova import AnovaRM, anova_lm

from kd.results.statistics.effects import (
    HIGHER,
    REST,
    SEEDS,
    _basis,
    _codes,
    _tested,
    contrasts,
    interaction,
    pairs,
    variance,
)
from kd.results.statistics.noise import Noise
from kd.results.statistics.pairing import prepare
from kd.study.aliasing import product

SMALL, LARGE = "3L-384-12h-1536", "6L-768-12h-3072"
SEED = ["1", "2", "3"]


def shares(frame):
    return variance(frame).set_index("term")


def test_shares_of_a_balanced_grid_by_hand():
    """Effects of ±2 and ±1 points, no interaction, seeds at ±0.5 about them."""

    def score(c):
        size = 0.02 if c["student"] == LARGE else -0.02
        order = 0.01 if c["mapping"] == "last" else -0.01
        return 0.6 + size + order + (0.005 if c["seed"] == "1" else -0.005)

    table = shares(grid(score, student=[SMALL, LARGE], mapping=["first", "last"], seed=["1", "2"]))
    total = 4 + 1 + 0.25
    assert table["share"].to_dict() == pytest.approx(
        {"student": 4 / total, "mapping": 1 / total, "student × mapping": 0, SEEDS: 0.25 / total}
    )
    assert table.loc[SEEDS, "df"] == 4
    assert table["df"].drop(SEEDS).tolist() == [1, 1, 1]
    # Seeds move all cells alike, so that no axis changes with them: the cells' own noise is left.
    # 8 runs, 4 cells: F = (8 · 4 / 1) / (8 · 0.25 / 4)
    assert table.loc["student", "F"] == pytest.approx(64)


def test_terms_are_tested_against_their_own_change_from_seed_to_seed():
    """Repeated measures: the unit is the seed (on a task), as statsmodels has it."""
    rng = np.random.default_rng(2)
    frame = grid(lambda c: 0.6 + rng.normal(0, 0.01), student=[SMALL, LARGE], seed=SEED,
                 mapping=["first", "last", "uniform"])  # fmt: skip
    table = shares(frame)
    known = AnovaRM(frame, "score", "seed", within=["student", "mapping"]).fit().anova_table
    for ours, theirs in (("student", "student"), ("mapping", "mapping"),
                         ("student × mapping", "student:mapping")):  # fmt: skip
        row, other = table.loc[ours], known.loc[theirs]
        assert (row.df, row.df_error) == pytest.approx((other["Num DF"], other["Den DF"]))
        assert (row.F, row.p) == pytest.approx((other["F Value"], other["Pr > F"]))
    row, mean_square = table.loc["mapping"], None
    total = float(((100 * (frame["score"] - frame["score"].mean())) ** 2).sum())
    mean_square = row.share * total / row.df / row.F
    assert row.unbiased == pytest.approx(
        (row.share * total - row.df * mean_square) / (total + mean_square)
    )


def test_tasks_are_strata_of_the_seeds():
    """On two tasks the error is each task's own: degrees of freedom 2 (values) × 2 tasks × 2."""
    rng = np.random.default_rng(4)
    frame = grid(lambda c: 0.6 + rng.normal(0, 0.01), task=["rte", "cola"], seed=SEED,
                 mapping=["first", "last", "uniform"])  # fmt: skip
    table = shares(frame)
    assert table.loc[["mapping", "mapping × task"], "df_error"].tolist() == pytest.approx([8, 8])
    means = frame.groupby(["task", "mapping"])["score"].transform("mean")
    units = frame["score"] - means
    units -= units.groupby([frame["task"], frame["seed"]]).transform("mean")
    spread = frame.groupby("mapping")["score"].mean()
    squares = 6 * ((spread - spread.mean()) ** 2).sum()
    assert table.loc["mapping", "F"] == pytest.approx((squares / 2) / ((units**2).sum() / 8))


def test_an_interaction_is_told_from_its_axes():
    def score(c):
        return 0.6 + 0.02 * ((c["student"] == LARGE) == (c["mapping"] == "last"))

    table = shares(grid(score, student=[SMALL, LARGE], mapping=["first", "last"]))
    assert table["share"].to_dict() == pytest.approx(
        {"student": 0, "mapping": 0, "student × mapping": 1}, abs=1e-9
    )


def unbalanced():
    rng = np.random.default_rng(3)
    knowledge = ["logits+hidden", "logits+attention", "hidden"]
    frame = grid(
        lambda c: 0.6 + 0.01 * knowledge.index(c["knowledge"]) + rng.normal(0, 0.01),
        knowledge=knowledge,
        student=[SMALL, LARGE],
        seed=SEED,
    )
    return frame.drop(index=[0, 1, 7, 12])


def test_unbalanced_shares_are_those_of_statsmodels():
    frame = unbalanced()
    table = shares(frame)
    model = ols("score ~ C(knowledge) + C(student) + C(seed)", frame).fit()
    squares = anova_lm(model, typ=2)["sum_sq"]
    total = ((frame["score"] - frame["score"].mean()) ** 2).sum()
    assert table.loc["knowledge", "share"] == pytest.approx(squares["C(knowledge)"] / total)
    assert table.loc["student", "share"] == pytest.approx(squares["C(student)"] / total)
    full = anova_lm(ols("score ~ C(knowledge) * C(student) + C(seed)", frame).fit(), typ=2)
    assert table.loc["student × knowledge", "share"] == pytest.approx(
        full["sum_sq"]["C(knowledge):C(student)"] / total
    )
    assert table["kind"].tolist() == ["axis", "axis", "pair", "seeds"]


def test_levels_of_tasks_are_no_effect_and_dependence_on_the_task_is_its_own_term():
    def score(c):
        if c["task"] == "rte":
            return 0.6 + 0.02 * (c["mapping"] == "last")
        return 0.2 - 0.02 * (c["mapping"] == "last")

    table = shares(grid(score, task=["rte", "cola"], mapping=["first", "last"]))
    assert table["share"].to_dict() == pytest.approx({"mapping": 0, "mapping × task": 1}, abs=1e-9)


def test_idle_and_equal_values_neither_help_nor_harm_an_axis():
    """The control has no mapping; the one-layer student has one run for both mappings."""
    rows = [one_run({"knowledge": "logits", "student": s}, 0.50) for s in (SMALL, LARGE)]
    rows.append(one_run({"student": SMALL, "mapping": "first = last"}, 0.60))
    rows.append(one_run({"student": LARGE, "mapping": "first"}, 0.58))
    rows.append(one_run({"student": LARGE, "mapping": "last"}, 0.62))
    table = shares(frame_of(*rows))
    # Mapping: ±2 points in two runs; its squares are 8 of 8 + those of knowledge.
    total = float(((np.array([50, 50, 60, 58, 62]) - 56) ** 2).sum())
    assert table.loc["mapping", "share"] == pytest.approx(8 / total)
    assert table.loc["mapping", "df"] == 1
    # Within students: (50, 60), and (50, 60, 60) once mapping is taken out; 10 points explain both.
    assert table.loc["knowledge", "share"] == pytest.approx((50 + 200 / 3) / total)


def test_the_matching_of_the_control_is_no_value_of_the_axis():
    """`logits` has its own matching (kl), which no other knowledge can have."""
    rows = [
        one_run({"knowledge": k, "matching": m, "seed": s}, 0.5 + gain + int(s) / 100)
        for k, m, gain in (("logits", "kl", 0), ("hidden", "mse", 0.03), ("hidden", "cka", 0.05))
        for s in SEED
    ]
    table = shares(frame_of(*rows))
    assert table.loc["knowledge", "df"] == table.loc["matching", "df"] == 1
    assert table.loc["knowledge", "share"] == pytest.approx(3 * (2 / 3) * 16 / (3 * 38 / 3 + 6))
    assert REST not in table.index


@pytest.fixture(scope="module")
def crossed():
    """Four mappings and two students on two tasks with three seeds; scores are replaced."""
    return grid(lambda c: 0.5, student=[SMALL, LARGE], mapping=["first", "last", "uniform", "emd"],
                task=["rte", "cola"], seed=SEED)  # fmt: skip


def noise(frame, rng, *shared, run=1.0):
    """Points of noise: of the run, and of what runs with the same values of `shared` share."""
    found = rng.normal(0, run, len(frame))
    for columns in shared:
        codes = frame.groupby(list(columns)).ngroup().to_numpy()
        found += rng.normal(size=codes.max() + 1)[codes]
    return found / 100


UNIT, VALUE = ("task", "seed"), ("task", "seed", "mapping")


@pytest.mark.parametrize("shared", [[UNIT], [UNIT, VALUE]])
@pytest.mark.parametrize("lost", [0, 4])
@pytest.mark.slow
def test_no_effect_explains_nothing_without_bias_and_is_seldom_significant(crossed, shared, lost):
    """Seeds move all runs of a task, and all runs of a mapping: neither is an effect of an axis."""
    rng = np.random.default_rng(5)
    unbiased, hits, family = [], [], []
    for _ in range(40):
        frame = crossed.assign(score=0.5 + noise(crossed, rng, *shared))
        table = variance(frame.drop(index=rng.choice(len(frame), lost, replace=False)))
        tested = table.dropna(subset="p")
        unbiased.append(tested["unbiased"].mean())
        hits.append((tested["p"] < 0.05).mean())
        family.append((tested["p_holm"] < 0.05).any())
    assert np.mean(unbiased) == pytest.approx(0, abs=0.01)
    assert np.mean(hits) == pytest.approx(0.05, abs=0.04)
    assert np.mean(family) <= 0.1


def test_an_interaction_is_found_though_seeds_move_all_runs_of_a_task(crossed):
    """+2.0 for one mapping on one student, noise of 0.5 in a run and 1.0 in a seed on a task."""
    rng = np.random.default_rng(6)
    planted = 0.02 * ((crossed["mapping"] == "last") & (crossed["student"] == LARGE))
    found, gains, covered = [], [], []
    runs = prepare(crossed.drop(index=[3, 17])).query("task != 'average'")
    for _ in range(12):
        crossed_now = crossed.assign(score=0.6 + planted + noise(crossed, rng, UNIT, run=0.5))
        table = variance(crossed_now.drop(index=[3, 17])).set_index("term")
        found.append(table.loc["student × mapping", "p_holm"] < 0.05)
        scores = runs["run"].map(crossed_now.set_index("run")["score"])
        cells = interaction(runs.assign(score=scores), "student", "mapping").set_index(["a", "b"])
        gains.append(cells.loc[(LARGE, "last"), "mean"])
        low, high = cells.loc[(LARGE, "last"), ["low", "high"]]
        covered.append(low <= 0.02 <= high)
    assert np.mean(found) >= 0.8 and np.mean(covered) >= 0.8
    assert np.mean(gains) == pytest.approx(0.02, abs=0.003)


def test_an_interaction_by_hand():
    """Of 3 × 2 values: 'last' gains 6 on the large student, and 0 on the small one."""
    scores = {(SMALL, "first"): 50, (SMALL, "last"): 50, (SMALL, "emd"): 53,
              (LARGE, "first"): 60, (LARGE, "last"): 66, (LARGE, "emd"): 63}  # fmt: skip
    frame = grid(lambda c: scores[c["student"], c["mapping"]] / 100, student=[SMALL, LARGE],
                 mapping=["first", "last", "emd"])  # fmt: skip
    table = interaction(prepare(frame), "student", "mapping").set_index(["a", "b"])["mean"]
    assert table[LARGE, "last"] == pytest.approx(0.06)
    assert table[LARGE, "emd"] == pytest.approx(-0.03) == -table[SMALL, "emd"]
    lost = prepare(frame.assign(score=frame["score"].where(frame["mapping"] != "first")))
    table = interaction(lost, "student", "mapping").set_index(["a", "b"])
    assert table.loc[(LARGE, "last"), "mean"] == pytest.approx(0.06)  # against 'emd' alone
    assert table.loc[(LARGE, "first"), ["pairs", "planned"]].tolist() == [0, 1]


def test_axes_that_were_varied_one_at_a_time_say_nothing_of_pairs_or_of_a_rest():
    rng = np.random.default_rng(8)
    cells = [{}, *({"mapping": m} for m in ("first", "last")), *({"temperature": t} for t in "48")]
    rows = [one_run(c | {"seed": s}, 0.6 + rng.normal(0, 0.01)) for c in cells for s in SEED]
    frame = frame_of(*rows)
    assert variance(frame)["kind"].tolist() == ["axis", "axis", "seeds"]
    assert interaction(prepare(frame), "mapping", "temperature").empty


def test_three_axes_that_depend_on_each_other_are_a_term_with_a_test(crossed):
    rng = np.random.default_rng(9)
    sign = np.where(crossed["task"] == "rte", 1, -1) * np.where(crossed["student"] == LARGE, 1, -1)
    sign = sign * np.where(crossed["mapping"].isin(["first", "last"]), 1, -1)
    table = shares(crossed.assign(score=0.6 + 0.02 * sign + noise(crossed, rng)))
    assert table["share"].idxmax() == HIGHER and table.loc[HIGHER, "p_holm"] < 0.001
    assert table.loc[HIGHER, "df"] == 3
    assert table["share"].sum() == pytest.approx(1)  # a complete grid leaves no rest
    null = shares(crossed.assign(score=0.6 + noise(crossed, rng)))
    assert null.loc[HIGHER, "p"] > 0.05 and REST not in null.index


def test_one_seed_tests_nothing_and_nothing_done_gives_no_table():
    table = shares(grid(lambda c: 0.6 + 0.01 * (c["mapping"] == "last"), student=[SMALL, LARGE],
                        mapping=["first", "last"]))  # fmt: skip
    assert table["p"].isna().all() and SEEDS not in table.index
    assert variance(grid(lambda c: None, mapping=["first", "last"])).empty
    assert variance(grid(lambda c: 0.5, mapping=["first", "last"])).empty  # no variance


def test_pairs_differ_in_one_axis_and_take_a_control_for_every_mapping():
    frame = grid(lambda c: 0.5 + 0.1 * (c["knowledge"] != "logits"), mapping=["first", "last"],
                 knowledge=["logits", "logits+hidden"], student=[SMALL, LARGE])  # fmt: skip
    found = pairs(prepare(frame), "knowledge")
    assert len(found) == 4 and found["difference"].tolist() == pytest.approx([0.1] * 4)
    assert set(found["setting"]) == {
        f"student {s} · mapping {m}" for s in (SMALL, LARGE) for m in ("first", "last")
    }
    assert set(pairs(prepare(frame), "mapping")[["a", "b"]].agg(" ".join, axis=1)) == {"first last"}


def test_contrasts_by_hand():
    scores = {("first", "1"): 0.60, ("first", "2"): 0.64, ("last", "1"): 0.65, ("last", "2"): 0.67}
    frame = grid(lambda c: scores[c["mapping"], c["seed"]], mapping=["first", "last"],
                 seed=["1", "2"])  # fmt: skip
    table = contrasts(prepare(frame), "mapping")
    (row,) = table.itertuples()
    assert (row.a, row.b, row.pairs, row.planned, row.seeds) == ("first", "last", 2, 2, 2)
    assert row.mean == pytest.approx(0.04)
    # differences 0.05 and 0.03: sd 0.01414, t(0.975, 1) = 12.706
    assert row.high - row.mean == pytest.approx(12.706 * 0.01, rel=1e-3)


def test_contrasts_find_a_known_effect_and_spare_what_has_none():
    """Four mappings on two tasks with four seeds; seeds shift all runs; 'last' loses 3 points."""
    rng = np.random.default_rng(7)
    names = ["uniform", "first", "last", "reverse"]
    frame = grid(lambda c: 0.5, mapping=names, task=["rte", "cola"], seed=["1", "2", "3", "4"])
    runs = prepare(frame).query("task != 'average'")
    seeds = runs.groupby(["task", "seed"]).ngroup().to_numpy()
    found, false, covered = 0, 0, []
    for _ in range(60):
        noise = rng.normal(0, 0.02, 8)[seeds] + rng.normal(0, 0.006, len(runs))
        effect = -0.03 * (runs["mapping"] == "last").to_numpy()
        table = contrasts(runs.assign(score=0.6 + effect + noise), "mapping")
        of_last = (table["a"] == "last") | (table["b"] == "last")
        found += int((table.loc[of_last, "p_holm"] < 0.05).sum())
        false += int((table.loc[~of_last, "p_holm"] < 0.05).any())
        truth = 0.03 * ((table["a"] == "last").astype(int) - (table["b"] == "last"))
        covered.append(((table["low"] <= truth) & (truth <= table["high"])).mean())
    assert found / (3 * 60) > 0.9
    assert false / 60 <= 0.10
    assert np.mean(covered) == pytest.approx(0.95, abs=0.04)


def test_missing_runs_are_counted_not_compared():
    frame = grid(lambda c: None if (c["mapping"], c["seed"]) == ("last", "1") else 0.5,
                 mapping=["first", "last"], seed=SEED)  # fmt: skip
    (row,) = contrasts(prepare(frame), "mapping").itertuples()
    assert (row.pairs, row.planned) == (2, 3)
    lost = contrasts(prepare(grid(lambda c: None, mapping=["first", "last"])), "mapping")
    assert lost["mean"].isna().all() and lost["pairs"].sum() == 0
    assert REST not in set(variance(frame)["term"])


def test_a_run_that_is_both_values_is_no_pair_of_them():
    """With one layer first and last are one run: it says nothing of their difference."""
    rows = [one_run({"student": SMALL, "mapping": "first = last", "seed": s}, 0.5) for s in SEED]
    rows += [one_run({"student": LARGE, "mapping": m, "seed": s}, 0.5 + 0.1 * (m == "last"))
             for m in ("first", "last") for s in SEED]  # fmt: skip
    (row,) = contrasts(prepare(frame_of(*rows)), "mapping").itertuples()
    assert (row.pairs, row.planned, row.mean) == (3, 3, pytest.approx(0.1))


def test_every_setting_of_a_contrast_counts_the_same():
    """+4 with the large student (three pairs) and +1 with the small one (one pair): 2.5."""
    gain = {SMALL: 0.01, LARGE: 0.04}

    def score(c):
        if c["student"] == SMALL and c["seed"] != "1":
            return None
        return 0.5 + gain[c["student"]] * (c["mapping"] == "last")

    frame = grid(score, student=[SMALL, LARGE], mapping=["first", "last"], seed=SEED)
    (row,) = contrasts(prepare(frame), "mapping").itertuples()
    assert (row.mean, row.pairs, row.blocks) == (pytest.approx(0.025), 4, 2)


def test_an_axis_by_task_is_adjusted_for_the_other_axes():
    """Students differ by task; the mappings, of which each student has other runs, do not."""
    rows = [
        one_run({"student": s, "task": t, "mapping": m, "epochs": e}, 0.5 + 0.1 * (s == LARGE))
        for s in (SMALL, LARGE)
        for t in ("rte", "cola")
        for m, e in ([("first", "1"), ("first", "2"), ("last", "1")] if (s, t) == (SMALL, "rte")
                     else [("first", "1"), ("last", "1"), ("last", "2")])
    ]  # fmt: skip
    table = shares(frame_of(*rows))
    assert table.loc["student", "share"] > 0.9
    assert table.loc["mapping × task", "share"] == pytest.approx(0, abs=1e-9)


def test_the_idle_value_is_none_of_an_axis():
    """Two mappings and a run that has none: one degree of freedom, one contrast, no label."""
    cells = [(m, s) for s in SEED for m in ("first", "last")]
    rows = [one_run({"mapping": m, "seed": s}, 0.5 + 0.1 * (m == "last") + 0.001 * i)
            for i, (m, s) in enumerate(cells)]  # fmt: skip
    rows += [one_run({"seed": s}, 0.5) | {"mapping": "-"} for s in SEED]
    table = shares(frame_of(*rows))
    assert table.loc["mapping", "df"] == 1
    runs = prepare(frame_of(*rows))
    assert contrasts(runs, "mapping")[["a", "b"]].to_numpy().tolist() == [["first", "last"]]
    # Nor where the run's other settings are idle too, so that it agrees with every run.
    cells = [{"mapping": m, "temperature": t} for m in ("first", "last") for t in ("2", "8")]
    cells.append({"mapping": "-", "temperature": "-"})
    runs = prepare(frame_of(*(one_run(cell, 0.5) for cell in cells)))
    assert contrasts(runs, "mapping")[["a", "b"]].to_numpy().tolist() == [["first", "last"]]
    frame = grid(lambda c: 0.5, knowledge=["none", "logits+hidden"], mapping=["first", "last"],
                 student=[SMALL, LARGE])  # fmt: skip
    assert set(pairs(prepare(frame), "student")["setting"]) == {
        "knowledge none", "knowledge logits+hidden · mapping first",
        "knowledge logits+hidden · mapping last",
    }  # fmt: skip


def test_the_error_of_a_term_is_unbiased_for_noise_that_is_half_common():
    """Exact for a grid that lacks runs: the sum of a quadratic form at the columns of the noise."""
    cells, units = np.divmod(np.arange(24), 4)  # six cells, four units
    present = ~np.isin(np.arange(24), [1, 6, 15, 20, 21])
    cells, units = cells[present], units[present]
    design, term = np.eye(4)[units], np.eye(3)[cells % 3] - 1 / 3
    basis = _basis(term, np.hstack([design, (cells // 3 - 0.5)[:, None]]))
    common = np.hstack([basis * (units == unit)[:, None] for unit in range(4)])
    common *= np.sqrt(basis.shape[1] / ((basis.T @ common) ** 2).sum())
    tasks = np.zeros_like(cells)

    def mean_square(score):
        return Noise(score, cells, units, tasks).of(basis)[0]

    for half in (np.eye(len(cells)), common):  # what the term's own mean square is expected to be
        assert ((basis.T @ half) ** 2).sum() / basis.shape[1] == pytest.approx(1)
    own = sum(mean_square(unit) for unit in np.eye(len(cells)))
    shared = sum(mean_square(column) for column in common.T)
    assert own != pytest.approx(shared, rel=0.01) and (own + shared) / 2 == pytest.approx(1)
    free = Noise(np.eye(len(cells))[0], cells, units, tasks).of(basis)[1]
    assert 0 < free < 6 and abs(free - round(free)) > 0.01, "as in a grid that lacks none"


def test_a_lost_run_leaves_no_interaction_of_its_seed():
    """Of 2 × 2 values each needs all four runs: at seed 3 one is lost."""

    def score(c):
        if (c["student"], c["mapping"], c["seed"]) == (SMALL, "first", "3"):
            return None
        return 0.5 + 0.02 * ((c["student"], c["mapping"]) == (LARGE, "last"))

    frame = grid(score, student=[SMALL, LARGE], mapping=["first", "last"], seed=SEED)
    table = interaction(prepare(frame), "student", "mapping").set_index(["a", "b"])
    assert set(table["pairs"]) == {2} and set(table["planned"]) == {3}
    assert table["mean"][SMALL, "first"] == pytest.approx(0.02)
    assert table["mean"][SMALL, "last"] == pytest.approx(-0.02)


def test_two_axes_have_no_term_of_three():
    """A run that stands for two values, and is not their mean, fits no term of the two axes."""
    rows = [
        one_run({"student": s, "mapping": m, "seed": seed}, 0.5 + 0.1 * ("=" in m) * (s == LARGE))
        for s in (SMALL, LARGE)
        for m in ("first", "last", "first = last")
        for seed in SEED
    ]
    assert HIGHER not in set(variance(frame_of(*rows))["term"])


def test_less_than_half_a_degree_of_freedom_tests_nothing():
    terms = {"term": ["a", "b"], "kind": "axis", "df": 1, "squares": 4.0, "error": [1.0, 0.5]}
    table = _tested(pd.DataFrame(terms | {"free": [0.3, 4.0]}), 10.0)
    assert np.isnan(table.loc[0, ["F", "df_error", "p"]].astype(float)).all()
    assert table.loc[1, "F"] == pytest.approx(8) and table["share"].tolist() == [0.4, 0.4]


def test_every_setting_of_an_interaction_counts_the_same():
    """4 at the one temperature (three seeds) and 1 at the other (one seed): 2.5."""

    def score(c):
        if c["temperature"] == "8" and c["seed"] != "1":
            return None
        both = (c["student"], c["mapping"]) == (LARGE, "last")
        return 0.5 + both * {"2": 0.04, "8": 0.01}[c["temperature"]]

    frame = grid(score, student=[SMALL, LARGE], mapping=["first", "last"],
                 temperature=["2", "8"], seed=SEED)  # fmt: skip
    table = interaction(prepare(frame), "student", "mapping").set_index(["a", "b"])
    assert table["mean"][LARGE, "last"] == pytest.approx(0.025)
    assert set(table["pairs"]) == {4} and set(table["planned"]) == {6}


def test_noise_of_a_value_and_seed_is_in_the_error_of_its_axis_by_task():
    """Exact: three tasks, a tenth of the runs lost, noise common to a value and seed."""
    frame = grid(lambda c: 0.5, student=[SMALL, LARGE], mapping=["first", "last", "uniform", "emd"],
                 task=["rte", "cola", "mrpc"], seed=SEED)  # fmt: skip
    frame = frame.drop(index=[3, 10, 17, 25, 33, 48, 64]).reset_index(drop=True)
    unit = frame.groupby(["task", "seed"]).ngroup().to_numpy()
    cells = frame.groupby(["task", "student", "mapping"]).ngroup().to_numpy()
    task = pd.factorize(frame["task"])[0]
    students, mappings = _codes(frame["student"]), _codes(frame["mapping"])
    term = product(mappings, np.eye(3)[task] - 1 / 3)
    basis = _basis(term, np.hstack([np.eye(unit.max() + 1)[unit], students, mappings]))
    common = np.asarray(pd.get_dummies(frame[list(VALUE)].agg(" ".join, axis=1)), dtype=float)
    wanted = ((basis.T @ common) ** 2).sum() / basis.shape[1]
    error = sum(Noise(column, cells, unit, task).of(basis)[0] for column in common.T)
    assert error == pytest.approx(wanted, rel=0.15)
