"""Claims and their verdicts: from differences worked out by hand, not before cells are done."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_runs import grid
from scipy import stats

from kd.results.advice.claims import Claim, read_claims
from kd.results.advice.verdicts import Finding, findings_of, overall, verdict_of
from kd.results.power.detect import Design, needed
from kd.results.record import Record, load_record
from kd.runtime.errors import UserError
from kd.study.check import load_study

REFERENCE = Path(__file__).parents[3] / "results/records/reference"
STUDIES = {path.parent.name: load_study(path) for path in REFERENCE.glob("*/study.yaml")}
SEEDS = ["1", "2", "3", "4", "5"]
WOBBLE = dict(zip(SEEDS, (0.002, -0.001, 0.0, 0.001, -0.002), strict=True))


def record(score, **axes):
    frame = grid(score, **{"task": ["rte", "qnli"], "seed": SEEDS, **axes})
    return Record(frame, every=frame)


def claim(**changes):
    keys = {"axis": "mapping", "contrasts": (("first", "last"),), "expected": "better"}
    return Claim(**{"claim": "it is", "source": "a paper", "study": "s", **keys, **changes})


def mapped(cell):
    """first is 2 points better than last, and differs from seed to seed."""
    return 0.6 + (0.02 + WOBBLE[cell["seed"]]) * (cell["mapping"] == "first")


def test_a_contrast_has_the_numbers_of_its_pairs():
    whole = record(mapped, mapping=["first", "last"])
    both = (("first", "last"), ("last", "first"))
    found, turned = findings_of(claim(contrasts=both), whole, 1.0)
    gaps = np.array([2 + 100 * wobble for wobble in WOBBLE.values()])
    # Two tasks with the same differences: half the variance, twice the degrees of freedom.
    half = stats.t.ppf(0.975, 8) * gaps.std(ddof=1) / np.sqrt(10)
    assert found.verdict == "confirmed" and set(found.tasks) == {"qnli", "rte"}
    assert (found.pairs, found.seeds, found.done, found.runs) == (10, 5, 20, 20)
    assert found.difference == pytest.approx(gaps.mean())
    assert (found.low, found.high) == pytest.approx((gaps.mean() - half, gaps.mean() + half))
    assert turned.verdict == "contradicted" and turned.difference == -found.difference
    assert (turned.low, turned.high) == (-found.high, -found.low)


def test_a_task_counts_when_all_runs_of_both_cells_are_finished():
    def score(cell):
        return None if (cell["task"], cell["seed"]) == ("qnli", "3") else mapped(cell)

    whole = record(score, mapping=["first", "last"], seed=["1", "2", "3"])
    (found,) = findings_of(claim(), whole, 1.0)
    assert (found.tasks, found.pairs, found.done, found.runs) == (("rte",), 3, 10, 12)
    assert found.so_far
    # A run that failed will not be made: its seed is lost, and the task counts.
    whole.every.loc[whole.every["status"] == "missing", "status"] = "failed"
    (found,) = findings_of(claim(), whole, 1.0)
    assert set(found.tasks) == {"rte", "qnli"} and (found.pairs, found.seeds) == (5, 2)
    assert not found.so_far


def test_without_a_finished_task_there_is_no_verdict():
    (found,) = findings_of(claim(), None, 1.0)
    assert found.verdict == "not run yet"

    def score(cell):
        return mapped(cell) if cell["seed"] < "3" else None

    begun = record(score, mapping=["first", "last"], task=["rte"], seed=["1", "2", "3"])
    (found,) = findings_of(claim(), begun, 1.0)
    assert (found.verdict, found.done, found.runs, found.tasks) == ("undecided", 4, 6, ())


def test_what_would_decide_an_undecided_contrast():
    def score(cell):  # differences of 3, 0 and -3 points
        return 0.6 + (cell["mapping"] == "first") * 0.03 * ((int(cell["seed"]) % 3) - 1)

    whole = record(score, mapping=["first", "last"], task=["rte"])
    (found,) = findings_of(claim(), whole, 1.0)
    spread = float(np.std([0, 3, -3, 0, 3], ddof=1))
    assert found.verdict == "undecided"
    assert found.needed == needed(Design((spread,), 0.05), 1.0)
    assert found.more == 2 * (found.needed - 5)


def test_a_gain_is_a_difference_of_differences():
    def score(cell):
        gain = {"2L-128-2h-512": 0.05, "4L-128-2h-512": 0.02}[cell["student"]]
        return 0.6 + (cell["knowledge"] == "logits") * (gain + WOBBLE[cell["seed"]] * (gain > 0.03))

    students = ["2L-128-2h-512", "4L-128-2h-512"]
    whole = record(score, student=students, knowledge=["none", "logits"], task=["rte"])
    more = claim(
        axis="student", contrasts=(tuple(students),), gain={"knowledge": ("none", "logits")}
    )
    (found,) = findings_of(more, whole, 1.0)
    assert found.difference == pytest.approx(3) and found.verdict == "confirmed"
    assert (found.pairs, found.runs) == (5, 20)


@pytest.mark.parametrize(
    ("expected", "numbers", "verdict"),
    [
        ("better", (2, 1, 3, 0.01), "confirmed"),
        ("better", (2, 1, 3, 0.08), "undecided"),
        ("better", (0.5, 0.2, 0.8, 0.01), "contradicted"),  # no difference that matters
        ("better", (-2, -3, -1, 0.01), "contradicted"),
        ("not better", (-2, -3, -1, 0.01), "confirmed"),
        ("not better", (0.2, -0.5, 0.9, 0.5), "confirmed"),
        ("not better", (2, 1, 3, 0.01), "contradicted"),
        ("not better", (0.2, -0.5, 1.2, 0.5), "undecided"),
        ("equal", (0.2, -0.5, 0.9, 0.5), "confirmed"),
        ("equal", (2, 1, 3, 0.01), "contradicted"),
        ("different", (2, 1, 3, 0.01), "confirmed"),
        ("different", (0.2, -0.5, 0.9, 0.01), "contradicted"),
        ("different", (0.2, -0.5, 1.9, 0.5), "undecided"),
        ("equal", (0.2, np.nan, np.nan, np.nan), "undecided"),
    ],
)
def test_verdicts(expected, numbers, verdict):
    assert verdict_of(expected, Finding(("a", "b"), "", *numbers), 1.0) == verdict


@pytest.mark.parametrize(
    ("expected", "verdicts", "verdict"),
    [
        ("better", ["confirmed", "confirmed"], "confirmed"),
        ("better", ["confirmed", "contradicted"], "contradicted"),
        ("better", ["confirmed", "undecided"], "undecided"),
        ("better", ["not run yet", "not run yet"], "not run yet"),
        ("different", ["confirmed", "contradicted"], "confirmed"),
        ("different", ["undecided", "contradicted"], "undecided"),
    ],
)
def test_a_claim_with_several_contrasts(expected, verdicts, verdict):
    findings = [SimpleNamespace(verdict=one) for one in verdicts]
    assert overall(claim(expected=expected), findings) == verdict


def test_the_shipped_claims_are_about_each_shipped_study():
    claims = read_claims(REFERENCE / "claims.yaml", STUDIES)
    assert {one.study for one in claims} == set(STUDIES)


def test_runs_without_a_preset_are_named_by_their_knowledge():
    folder = REFERENCE / "methods"
    shipped = load_record(folder / "runs.csv", folder / "study.yaml", planned=False)
    claims = [c for c in read_claims(REFERENCE / "claims.yaml", STUDIES) if c.study == "methods"]
    assert ("ckd", "logits") in claims[0].contrasts
    assert all(f.tasks == ("trec",) for c in claims for f in findings_of(c, shipped, 1.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expect": "better"}, "key: found .expect., allowed: .*did you mean expected"),
        ({"study": "mappings"}, "study: found .mappings., .*did you mean mapping"),
        ({"expected": "worse"}, "expected: found .worse., allowed: better, not better"),
        ({"contrasts": [["uniform", "uniform"]]}, "allowed: a list of two different values"),
        ({"contrasts": [["uniform", "first"]]}, "mapping of the study reference-mapping: found .f"),
        ({"axis": "maping"}, "axis: found .maping., .*did you mean mapping"),
        ({"source": None}, "source: missing"),
    ],
)
def test_a_mistake_in_a_claim_is_one_sentence(changes, message, tmp_path):
    keys = {"claim": "it is", "source": "a paper", "study": "mapping", "axis": "mapping"}
    keys |= {"contrasts": [["uniform", "reverse"]], "expected": "equal", **changes}
    path = tmp_path / "claims.yaml"
    lines = [f"  {key}: {value}\n" for key, value in keys.items() if value is not None]
    path.write_text("-" + "".join(lines)[1:])
    with pytest.raises(UserError, match=rf"claims\.yaml: claim 1: .*{message}"):
        read_claims(path, STUDIES)


def test_p_is_corrected_for_pairs_that_are_still_to_come():
    """Or a verdict could be taken back when they are there."""
    mappings = ["first", "last", "emd", "uniform", "reverse"]

    def score(cell):
        return mapped(cell) if cell["mapping"] in ("first", "last") else None

    def p(names):
        (found,) = findings_of(claim(), record(score, mapping=names), 1.0)
        return found.p

    assert p(mappings) == pytest.approx(10 * p(["first", "last"]), rel=1e-6)


def test_a_run_that_is_running_is_still_to_come():
    whole = record(mapped, mapping=["first", "last"])
    here = (whole.every["task"] == "qnli") & (whole.every["seed"] == "3")
    whole.every.loc[here, ["status", "score"]] = ["running", None]
    (found,) = findings_of(claim(), whole, 1.0)
    assert found.tasks == ("rte",) and found.so_far
