"""The figure of claims: each contrast with its numbers, and no mark where there are none."""

from dataclasses import replace

import pytest

from kd.results.advice.claims import Claim
from kd.results.advice.verdicts import CONFIRMED, OPEN, UNDECIDED, Finding, Judged
from kd.results.figures.claims import claims_figure

CLAIM = Claim("b is best", "a paper", "study", "mapping", (("b", "a"), ("b", "c")), "better")
SEEN = Finding(("b", "a"), CONFIRMED, difference=1.25, low=0.5, high=2.0, tasks=("trec",))


def drawn(*findings):
    """The names, the differences that are marked, the numbers, and how many arrows there are."""
    figure = claims_figure([Judged(CLAIM, findings, 1.0)])
    names, scale, numbers = figure.axes
    marks = [x for line in scale.lines if line.get_gid() == "difference" for x in line.get_xdata()]
    written = [[text.get_text() for text in ax.texts] for ax in (names, numbers)]
    return written[0], marks, written[1], len(scale.texts)


def test_a_difference_is_marked_and_written():
    other = replace(SEEN, contrast=("b", "c"), low=float("nan"))
    names, marks, numbers, arrows = drawn(SEEN, other)
    assert names == ["1  b is best", "b − a", "b − c"]
    assert marks == [1.25, 1.25] and arrows == 0
    assert numbers == [CONFIRMED, "+1.2 (+0.5 to +2.0)", "+1.2"]


@pytest.mark.parametrize("difference", [9.8, -9.8])
def test_a_difference_off_the_scale_is_an_arrow(difference):
    far = replace(SEEN, difference=difference, low=difference - 1, high=difference + 1)
    _, marks, numbers, arrows = drawn(far)
    assert marks == [] and arrows == 1
    assert numbers[1].startswith(f"{difference:+.1f} (".replace("-", "−"))


def test_what_is_not_run_has_no_mark():
    _, marks, numbers, arrows = drawn(Finding(("b", "a"), OPEN), Finding(("b", "c"), UNDECIDED))
    assert marks == [] and arrows == 0
    assert numbers == [UNDECIDED, "not run yet", "not enough runs yet"]
