"""The page of the reference study: current, honest about what is not run, and each number there."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kd.results.advice.claims import Claim
from kd.results.advice.verdicts import CONTRADICTED, UNDECIDED, Finding, Judged
from kd.results.figures.reference import write_page_figures
from kd.results.report.claims_tables import (
    _decided,
    _numbers,
    _with_others,
    claims_rows,
)
from kd.results.report.first_answer import _in_words, first_answer
from kd.results.report.reference import digest, page_text, read_collection

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "results/records/reference"
PAGE = ROOT / "docs/reference-results.md"


def test_the_page_is_made_of_the_shipped_records():
    assert f"digest {digest(RECORDS)}." in PAGE.read_text(encoding="utf-8"), "make reference"


@pytest.mark.slow
def test_the_page_and_its_figures_are_what_the_command_makes(tmp_path):
    found = read_collection(RECORDS)
    text = page_text(found, "reference-study.md", "../results/records/reference")
    assert text == PAGE.read_text(encoding="utf-8"), "make reference"
    drawn = write_page_figures(found, tmp_path)
    assert {path.name for path in drawn} == {
        p.name for p in (ROOT / "docs").glob("reference-*.png")
    }
    for path in drawn:  # to the pixel, but for what another build of a font library rounds
        ours, shipped = (
            np.asarray(Image.open(one).convert("L"), dtype=float)
            for one in (path, ROOT / "docs" / path.name)
        )
        assert ours.shape == shipped.shape and np.sqrt(np.mean((ours - shipped) ** 2)) < 10


def test_tasks_at_the_constant_answer_lack_no_runs():
    nothing = Finding(("a", "b"), UNDECIDED, floor=("mrpc",))
    assert _numbers(nothing)[-1] == "mrpc: at the constant answer"
    assert _decided(nothing, 1.0)[-1] == "students above the constant answer"
    some = Finding(("a", "b"), UNDECIDED, floor=("mrpc",), planned=1, done=2, runs=10)
    assert _numbers(some)[-1] == "2 of 10 runs" and _decided(some, 1.0)[-1] == "its runs"


@pytest.mark.parametrize(
    ("needed", "more", "text"),
    [(8, 18, "8 seeds, 18 runs more"), (5, 0, "5 seeds, as many as there are"),
     (3, 0, "3 seeds, fewer than there are")],
)  # fmt: skip
def test_the_seeds_that_find_a_difference(needed, more, text):
    finding = Finding(
        ("a", "b"), UNDECIDED, planned=1, tasks=("trec",), seeds=5, needed=needed, more=more
    )
    assert _decided(finding, 1.0)[-1] == text


def test_a_contradiction_by_equality_says_so_and_tasks_are_shown_apart():
    equal = Finding(("a", "b"), CONTRADICTED, equal=True, planned=2, seeds=5, pairs=10)
    equal = replace(equal, tasks=("trec", "sst2"), by_task=(("trec", -0.96), ("sst2", 0.23)))
    assert _decided(equal, 1.0)[0] == "contradicted: no difference of 1 point on average"
    apart = replace(equal, by_task=(("trec", -1.2), ("sst2", 0.23)))
    assert _decided(apart, 1.0)[0].endswith("1 point on average (larger on trec)")
    one = replace(equal, tasks=("trec",))
    assert _decided(one, 1.0)[0] == "contradicted: no difference of 1 point"
    assert _decided(replace(equal, equal=False), 1.0)[0] == "contradicted"
    assert _numbers(equal)[-1].endswith("10 pairs (trec −1.0, sst2 +0.2)")


def test_other_choices_show_their_range_and_the_verdicts_that_change():
    finding = Finding(("a", "b"), CONTRADICTED, difference=0.2, tasks=("trec",), planned=2)
    alike = replace(finding, difference=0.21)
    changed = replace(finding, difference=-0.4, verdict=UNDECIDED)
    assert _with_others(finding, []) == _with_others(replace(finding, tasks=()), [alike]) == "–"
    assert _with_others(finding, [alike]) == "the same"
    assert _with_others(finding, [alike, changed]) == "−0.4 to +0.2, or undecided"


def test_a_verdict_has_the_tasks_of_the_contrasts_that_decide_it():
    """Contradicted on both tasks, whatever another contrast lacks."""
    decides = Finding(("a", "b"), CONTRADICTED, tasks=("trec", "sst2"), planned=2)
    rest = Finding(("a", "c"), UNDECIDED, tasks=("trec",), planned=2)
    claim = Claim("it is", "a paper", "s", "mapping", (("a", "b"), ("a", "c")), "better")
    (row,) = claims_rows([Judged(claim, [decides, rest], 1.0)])
    assert row[3:] == ["**contradicted**", "–"]
    (row,) = claims_rows([Judged(claim, [rest, rest], 1.0)])
    assert row[3] == "**undecided** on 1 of 2 tasks"


def test_the_first_answer_has_the_means_of_the_runs_at_their_own_learning_rate():
    """Computed from runs.csv by pandas alone."""
    rows = [
        line.split(" | ") for line in first_answer(RECORDS, "docs").splitlines() if "| `" in line
    ]
    runs = pd.read_csv(RECORDS / "knowledge/runs.csv")
    tasks = ["trec", "sst2", "stsb", "mrpc", "cola"]
    means = {}
    for (knowledge, task), cell in runs[runs["task"].isin(tasks)].groupby(["knowledge", "task"]):
        rates = cell.groupby("learning_rate")[["slice_score", "score"]].mean()
        means[knowledge, task] = 100 * rates.loc[rates["slice_score"].idxmax(), "score"]
    assert len(rows) == runs["knowledge"].nunique()
    for name, *cells, difference in rows:
        knowledge = name.split("`")[1]
        own = [means[knowledge, task] for task in tasks]
        assert [cell.split()[0] for cell in cells] == [f"{mean:.1f}" for mean in own]
        lead = np.mean(own) - np.mean([means["logits", task] for task in tasks])
        if knowledge != "logits":
            shown = float(difference.split()[0].replace("−", "-"))
            assert shown == pytest.approx(lead, abs=0.0501)


@pytest.mark.parametrize(
    ("worse", "others", "depends", "text"),
    [
        ({"b": [0.2, 1.2]}, ["c", "d"], ["task"], "It is significantly better than `b`. It is not "
         "significantly better than `c` or `d`. The differences depend on the task."),
        ({"b": [0.2, 1.2], "c": [0.2, 0.9]}, [], [], "It is significantly better than `b` and `c` "
         "(by less than 1 point)."),
        ({}, ["b"], [], "It is not significantly better than `b`."),
    ],
)  # fmt: skip
def test_the_first_answer_in_words(worse, others, depends, text):
    contrasts = [
        *({"value": v, "difference": 0.7, "p": 0.01, "interval": i} for v, i in worse.items()),
        *({"value": v, "difference": 0.7, "p": 0.2, "interval": None} for v in others),
    ]
    found = {"best": "a", "contrasts": contrasts, "depends_on": depends, "margin": 1.0}
    assert _in_words(found) == f"`a` has the highest mean. {text}"
    assert _in_words({"best": None, "answer": "Not tested."}) == "Not tested."


@pytest.fixture
def empty(tmp_path):
    """The reference without any record."""
    for study in RECORDS.glob("*/study.yaml"):
        (tmp_path / study.parent.name).mkdir()
        shutil.copy(study, tmp_path / study.parent.name)
    shutil.copy(RECORDS / "claims.yaml", tmp_path)
    return tmp_path


def test_what_is_not_run_says_so(empty):
    text = page_text(read_collection(empty), "design.md", "../records")
    studies = len([*empty.glob("*/study.yaml")])
    assert len(re.findall(r"\| not run yet \| – \|$", text, re.M)) >= studies
    assert text.count("Not run yet.") == studies
    assert not re.search(r"\*\*(confirmed|contradicted|undecided)\*\*", text)
    assert first_answer(empty, "docs") == ""  # the README says nothing either
