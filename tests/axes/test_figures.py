"""Names of figures as a study writes them."""

import re

import pytest

from kd.axes.figures import PATTERN, PLAIN, axes_of, caption, parse_figure
from kd.runtime.errors import UserError


@pytest.mark.parametrize(
    "name", [*PLAIN, "effect-mapping", "effect-hard_weight", "heatmap-knowledge-task"]
)
def test_names_that_there_are(name):
    assert parse_figure(name) == name
    assert (name in PLAIN) != bool(re.fullmatch(PATTERN, name))
    assert len(caption(name)) > 20


def test_axes_and_captions_of_a_name():
    assert axes_of("heatmap-hard_weight-task") == ["hard_weight", "task"]
    assert "hard weight and task" in caption("heatmap-hard_weight-task")
    assert axes_of("width-depth") == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efect-mapping", "did you mean effect-mapping"),
        ("heatmap-mapping", "allowed: effect-AXIS"),
        ("heatmap-mapping-mapping", "two different axes"),
        ("effect-task", "allowed: effect-AXIS"),
        (3, "found 3"),
    ],
)
def test_a_wrong_name_is_one_sentence(name, message):
    with pytest.raises(UserError, match=message):
        parse_figure(name)
