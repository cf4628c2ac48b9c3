"""Looks: which seeds count, at which level, and how often a study without effects has a claim."""

import numpy as np
import pytest
from fake_runs import grid, write
from looked_studies import judged, played, scores_of
from planted import lose
from scipy import stats

from kd.results.record import load_record
from kd.results.report.cautions import cautions
from kd.results.statistics.effects import contrasts
from kd.results.statistics.looks import read_looks, share_of
from kd.results.statistics.pairing import prepare
from kd.results.tables.tests import contrasts_table
from kd.runtime.errors import UserError

LOOKS = (3, 5, 8, 12)


def of_looks(seeds, looks="3 5 8", **lost):
    """Two mappings, whose difference has a mean of 1 point and depends on the seed; `lost` has the
    status of seeds that are not done."""
    frame = grid(
        lambda c: 0.6 + 0.001 * int(c["seed"]) ** 2 * (c["mapping"] == "last"),
        mapping=["first", "last"], seed=[str(s) for s in range(1, seeds + 1)],
    ).assign(looks=looks)  # fmt: skip
    for seed, status in lost.items():
        own = (frame["seed"] == seed[1:]) & (frame["mapping"] == "last")
        frame.loc[own, ["score", "status"]] = [np.nan, status]
    return frame


def test_the_looks_share_the_error_rate():
    assert sum(share_of(n, LOOKS) for n in LOOKS) == pytest.approx(1)
    assert share_of(5, LOOKS) == pytest.approx(2 / 12) and np.isnan(share_of(4, LOOKS))
    assert read_looks(["3 5", "3 5"]) == (3, 5) and read_looks(["", " "]) == ()
    for wrong in ("5 3", "1 2", "3 x", "three"):
        with pytest.raises(ValueError, match="looks: found"):
            read_looks([wrong])


@pytest.mark.parametrize(
    ("seeds", "lost", "counted", "look"),
    [
        (4, {}, (1, 2, 3), 3),
        (5, {}, (1, 2, 3, 4, 5), 5),
        (4, {"s2": "failed"}, (1, 3, 4), 3),  # the next seed takes its place
        (5, {"s5": "missing"}, (1, 2, 3), 3),
        (5, {"s2": "running"}, (), 0),  # 3 others are done, but which ones count must not change
    ],
)
def test_only_the_seeds_of_the_last_complete_look_count(seeds, lost, counted, look):
    (row,) = contrasts(prepare(of_looks(seeds, **lost)), "mapping").to_dict("records")
    assert (row["look"], row["pairs"]) == (look, len(counted))
    if counted:
        gaps = 0.001 * np.square(counted)
        share = share_of(look, (3, 5, 8))
        error, free = gaps.std(ddof=1) / np.sqrt(look), look - 1
        half = stats.t.isf(0.025 * share, free) * error
        assert row["mean"] == pytest.approx(gaps.mean())
        assert (row["low"], row["high"]) == pytest.approx((gaps.mean() - half, gaps.mean() + half))
        p = 2 * stats.t.sf(gaps.mean() / error, free) / share
        assert row["p_holm"] == pytest.approx(min(1, p))


def test_a_contrast_without_a_look_counts_among_the_comparisons():
    frame = grid(
        lambda c: 0.6 + len(c["mapping"]) / 100 + int(c["seed"]) ** 2 / 1000,
        mapping=["first", "last", "uniform"], seed=["1", "2", "3"],
    ).assign(looks="3 5")  # fmt: skip
    noise = np.random.default_rng(0).normal(0, 0.01, len(frame))
    frame = frame.assign(score=frame["score"] + noise)
    lost = lose(frame, mapping="uniform", seed="2")
    rows = contrasts(prepare(lost), "mapping").set_index(["a", "b"])
    assert rows["look"].tolist() == [3, 0, 0] and rows["p_holm"].notna().tolist() == [1, 0, 0]
    row = rows.loc["first", "last"]
    assert row["p_holm"] == pytest.approx(min(1, 3 * row["p"]))


def test_report_and_tables_say_which_look(tmp_path):
    frame = of_looks(4)
    path = write(frame, tmp_path / "runs.csv")
    record = load_record(path)
    assert any("1.88 % at 3 seeds, 1.25 % at 5 seeds" in text for text in cautions(record))
    table = contrasts_table(prepare(record.runs))
    assert table.header[-1] == "look" and table.rows[0][-1] == "3 (1.88 %)"
    with pytest.raises(UserError, match="looks: found '3 2'"):
        load_record(write(frame.assign(looks="3 2"), path))


@pytest.mark.slow
@pytest.mark.parametrize(("values", "tasks"), [(2, 1), (4, 1), (6, 1), (4, 3)])
def test_a_study_without_effects_has_few_claims_whatever_is_decided_between_looks(values, tasks):
    studies = 1000
    scores = scores_of([0.0] * values, studies, tasks, LOOKS[-1])
    _, _, claims = played(scores, LOOKS)
    each = np.array([
        [bool(own[-1]) for own in judged(scores, np.full((studies, values), look))]
        for look in LOOKS
    ])  # fmt: skip
    wrong, naive = sum(map(bool, claims)) / studies, each.any(axis=0).mean()
    print(f"{values} values, {tasks} tasks: {wrong:.3f}; the same looks without looks: {naive:.3f}")
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert naive > 0.07, "the correction is not needed"


@pytest.mark.slow
def test_true_differences_are_found_with_fewer_runs_than_with_equal_numbers_of_seeds():
    effects, studies = [0, -1, -2, -2, -4, -4], 200
    scores = scores_of(effects, studies, 3, LOOKS[-1], start=1)

    def all_decided(ends):
        return np.mean([not contrasts for _, contrasts in ends])

    runs, ends, _ = played(scores, LOOKS)
    every, others, _ = played(scores, LOOKS, one_by_one=False)
    print(f"kd next: {runs.mean():.1f} runs, {all_decided(ends):.2f} decided; all cells: "
          f"{every.mean():.1f}, {all_decided(others):.2f}")  # fmt: skip
    assert runs.mean() < 0.85 * every.mean()
    assert all_decided(ends) >= all_decided(others) - 0.1
