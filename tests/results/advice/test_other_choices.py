"""Verdicts with values of the tuned axis that the slice cannot separate from the chosen ones."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_runs import frame_of, one_run, write

from kd.results.advice import other_choices
from kd.results.advice.claims import Claim
from kd.results.advice.other_choices import other_findings
from kd.results.advice.verdicts import findings_of
from kd.results.record import load_record
from kd.results.report.reference import read_collection

CLAIM = Claim("it is", "a paper", "s", "mapping", (("last", "first"),), "better")
SELECT = json.dumps(
    {"axes": {"learning_rate": ["0.0001", "0.0003", "0.001"]}, "cells": ["task", "mapping"]}
)
WOBBLE = (0.002, -0.001, 0.0, 0.001, -0.002)
# By mapping and rate: scores on the slice and on dev. On the slice `last` is best at 0.0003 by
# less than its noise, at 0.001 some seeds fail, and `uniform` is no part of the claim.
SCORES = {
    ("first", "0.0001"): (0.80, 0.70),
    ("first", "0.0003"): (0.60, 0.70),
    ("last", "0.0001"): (0.7995, 0.70),
    ("last", "0.0003"): (0.80, 0.75),
    ("last", "0.001"): (0.79, 0.20),
    ("uniform", "0.0001"): (0.80, 0.70),
    ("uniform", "0.0003"): (0.7995, 0.10),
}


@pytest.fixture
def record(tmp_path):
    rows = []
    for (mapping, rate), (on_slice, on_dev) in SCORES.items():
        for seed, wobble in enumerate(WOBBLE, 1):
            cell = {"task": "rte", "mapping": mapping, "learning_rate": rate, "seed": str(seed)}
            cell |= {"held_out": "0.1", "held_out_seed": "0"}
            lost = 0.3 * (rate == "0.001" and seed in (2, 4))
            shaken = wobble * (1 if rate == "0.0003" else -1 if mapping == "last" else 0)
            score = on_slice + shaken - lost
            rows.append(one_run(cell, on_dev + shaken, slice_score=score, select=SELECT))
    return load_record(write(frame_of(*rows), tmp_path / "runs.csv"))


def test_a_verdict_that_rests_on_the_choice_is_found(record):
    (found,) = findings_of(CLAIM, record, 1.0)
    assert found.verdict == "confirmed" and found.difference == pytest.approx(5)
    ((other,),) = other_findings(CLAIM, record, 1.0)  # 0.001, which breaks two seeds, is not close
    assert other.verdict == "contradicted" and abs(other.difference) < 0.1


def test_of_many_combinations_each_cell_varies_alone(record, monkeypatch):
    both = Claim("it is", "a paper", "s", "mapping", (("last", "uniform"),), "better")
    assert len(other_findings(both, record, 1.0)) == 3
    monkeypatch.setattr(other_choices, "_MOST", 3)
    assert len(other_findings(both, record, 1.0)) == 2


def test_without_tuning_there_is_no_other_choice(record):
    assert other_findings(CLAIM, None, 1.0) == []
    assert other_findings(CLAIM, replace(record, selection=None), 1.0) == []


@pytest.mark.slow
def test_verdicts_of_the_reference_study_that_rest_on_the_choice():
    """Found by other code too, with pandas and scipy alone."""
    folder = Path(__file__).parents[3] / "results/records/reference"
    collection = read_collection(folder)
    changed = [i for i, one in enumerate(collection.claims, 1) if one.other_verdicts]
    assert changed == [2, 3, 4, 6, 8, 9, 11, 15, 17]
