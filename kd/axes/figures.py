"""The names of figures in a study file, and their captions. No pandas."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.fields import RUN_FIELDS
from kd.runtime.errors import UserError, listing, nearest, shown


@dataclass(frozen=True)
class PluginFigure:
    """A figure of a plugin: `draw` makes a matplotlib figure of the runs, a table with the columns
    of runs.csv."""

    draw: Callable[[Any], Any]
    caption: str
    source: str = ""


_FRONT = "the thin black line is the Pareto front: no cell of equal or lower cost scores as high."
# Figures without an axis in their name, in the order in which they are drawn, with what they show.
PLAIN = {
    "difference": "What each choice adds to its control. Marks are means with their 95 % t "
    "interval over seeds; dots are pairs of runs on the same task with the same seed and settings. "
    "*: p < 0.05 after Holm's correction.",
    "variance": "Where the variance of the score comes from. Bars are the shares of each axis, of "
    "pairs of axes, of an axis's dependence on the task, and of the seeds. *: p < 0.05 after "
    "Holm's correction.",
    "width-depth": "Mean score by the student's width and depth. A dotted line joins shapes of "
    "equal size whose feed-forward size is four times the width.",
    "score-parameters": "Score against the student's size without embeddings. Each knowledge has a "
    f"line; {_FRONT}",
    "score-flops": "Score against the student's floating-point operations. Each knowledge has a "
    f"line; {_FRONT}",
    "score-latency": "Score against the measured time for one example. Each knowledge has a line; "
    f"{_FRONT}",
    "teacher-gap": "Distance to the teacher by task. Dots are cells, marks the means of each "
    "knowledge.",
    "seeds": "What the seed alone changes. Dots are runs, orange bars the standard deviation over "
    "seeds (pooled over cells), and blue bars the range of the cells' means about their median.",
    "curves": "Learning curves. The loss by training step.",
    "dev-curves": "Dev scores during the training. No run or step is selected by them.",
    "agreement": "Score against agreement with the teacher. Dots are runs, large marks the means "
    "of each knowledge. Agreement is the share of dev examples for which student and teacher "
    "choose the same class (of a multi-label task, the share of labels for which they agree; of a "
    "regression, the correlation of their scores).",
}
FIGURES: dict[str, PluginFigure] = {}  # those of plugins
EFFECT = (
    "Effect of {0}. Marks are means with their 95 % t interval over seeds; dots are runs. Only "
    "runs that compare like with like count; squares are the control."
)
HEATMAP = "Mean score by {0} and {1}, in points. Each {2} has its own colour scale."
AXES = [name for name in RUN_FIELDS if name not in ("task", "seed")]
_AXIS = "|".join(AXES)
MORE = "+"  # before a name in a study's `figures`: drawn beside those that are drawn anyway
PATTERN = rf"^\+?(effect-({_AXIS})|heatmap-({_AXIS})-({_AXIS}|task))$"


def parse_figure(value: object) -> str:
    """The name of a figure as a study file writes it.

    Raises:
        UserError: there is no figure of that name, or a heat map of an axis with itself.
    """
    if isinstance(value, str) and (value in PLAIN or value in FIGURES):
        return value
    match = re.fullmatch(PATTERN, value) if isinstance(value, str) else None
    if match and match[3] is not None and match[3] == match[4]:
        raise UserError(f"found {shown(value)}, allowed: two different axes")
    if match:
        return str(value)
    known = [*PLAIN, *FIGURES, *(f"effect-{axis}" for axis in AXES), "heatmap-knowledge-mapping"]
    raise UserError(
        f"found {shown(value)}, allowed: effect-AXIS, heatmap-AXIS-AXIS, heatmap-AXIS-task, "
        f"{listing([*PLAIN, *FIGURES])}{nearest(value, known)}"
    )


def axes_of(name: str) -> list[str]:
    """The axes in the name of a figure, or []."""
    name = name.removeprefix(MORE)
    return [] if name in PLAIN or name in FIGURES else name.split("-")[1:]


def axis_words(axis: str) -> str:
    """An axis as it stands in a sentence, for example 'learning rate'."""
    return {"init": "initialisation"}.get(axis, axis.replace("_", " "))


def caption(name: str) -> str:
    """What the figure shows, for a reader who has not seen the paper."""
    if name in PLAIN:
        return PLAIN[name]
    if name in FIGURES:
        return FIGURES[name].caption
    words = [axis_words(axis) for axis in axes_of(name)]
    words.append("column" if words[-1] == "task" else "panel")
    return (EFFECT if name.startswith("effect-") else HEATMAP).format(*words)
