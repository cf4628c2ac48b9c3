"""The names of figures in a study file, and their captions. No pandas."""

import re

from kd.axes.fields import RUN_FIELDS
from kd.runtime.errors import UserError, listing, nearest, shown

# Figures without an axis in their name, in the order in which they are drawn, with what they show.
PLAIN = {
    "difference": "What each choice adds to its control, run by run on the same task, seed and "
    "settings: mean with its 95 % t interval over seeds, every pair behind it.",
    "variance": "Where the variance of the score comes from: the share of each axis, of pairs of "
    "axes, of an axis's dependence on the task, and of the seeds alone. *: p < 0.05 after Holm's "
    "correction.",
    "width-depth": "Mean score by the student's width and depth; along a line all students have "
    "the same number of parameters (without embeddings, feed-forward size four times the width).",
    "score-parameters": "Score against the student's size without embeddings, a line per "
    "knowledge; the thin black line is the Pareto front: no other student is as small and as good.",
    "score-flops": "Score against the student's floating-point operations, a line per knowledge; "
    "the thin black line is the Pareto front.",
    "score-latency": "Score against the measured time of one example alone, a line per knowledge; "
    "the thin black line is the Pareto front.",
    "teacher-gap": "Distance to the teacher by task, in points: every cell's mean, and the mean "
    "of each knowledge.",
    "seeds": "What the seed alone changes: each run's distance to the mean of its cell, beside the "
    "range of all cells' means.",
    "curves": "Learning curves: mean over runs, every run behind it.",
}
EFFECT = (
    "Effect of {0}: mean with its 95 % t interval over seeds, every run behind it. Only comparable "
    "runs count; squares are the control."
)
HEATMAP = "Mean score in points by {0} and {1}; each {2} has its own colour scale."
AXES = [name for name in RUN_FIELDS if name not in ("task", "seed")]
_AXIS = "|".join(AXES)
MORE = "+"  # before a name in a study's `figures`: drawn beside those that are drawn anyway
PATTERN = rf"^\+?(effect-({_AXIS})|heatmap-({_AXIS})-({_AXIS}|task))$"


def parse_figure(value: object) -> str:
    """The name of a figure as a study file writes it.

    Raises:
        UserError: there is no figure of that name, or a heat map of an axis with itself.
    """
    if isinstance(value, str) and value in PLAIN:
        return value
    match = re.fullmatch(PATTERN, value) if isinstance(value, str) else None
    if match and match[3] is not None and match[3] == match[4]:
        raise UserError(f"found {shown(value)}, allowed: two different axes")
    if match:
        return str(value)
    known = [*PLAIN, *(f"effect-{axis}" for axis in AXES), "heatmap-knowledge-mapping"]
    raise UserError(
        f"found {shown(value)}, allowed: effect-AXIS, heatmap-AXIS-AXIS, heatmap-AXIS-task, "
        f"{listing(PLAIN)}{nearest(value, known)}"
    )


def axes_of(name: str) -> list[str]:
    """The axes in the name of a figure; [] where it has none."""
    name = name.removeprefix(MORE)
    return [] if name in PLAIN else name.split("-")[1:]


def caption(name: str) -> str:
    """What the figure shows, for a reader who has not seen the paper."""
    if name in PLAIN:
        return PLAIN[name]
    found = [axis.replace("_", " ") for axis in axes_of(name)]
    found.append("column" if found[-1] == "task" else "panel")
    return (EFFECT if name.startswith("effect-") else HEATMAP).format(*found)
