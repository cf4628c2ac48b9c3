"""How numbers and names are written in sentences."""

from collections.abc import Sequence

import pandas as pd

from kd.axes.fields import RUN_FIELDS
from kd.axes.initialisations import PRETRAINED
from kd.results.numbers import p_text, plain
from kd.runtime.words import listed
from kd.study.check import Study

Names = dict[str, dict[str, str]]  # axis -> value -> how the study file writes it


def signed(points: float) -> str:
    """'+1.8'; a difference in points."""
    return plain(points, 1, True)


def span(low: float, high: float) -> str:
    """'+0.1 to +0.9', in points, with one more digit if both ends would read the same."""
    digits = 1 if signed(low) != signed(high) else 2
    return f"{plain(low, digits, True)} to {plain(high, digits, True)}"


def significance(p: float, comparisons: int) -> str:
    """'p < 0.001' or 'not significant', after correction for a number of comparisons."""
    after = f" after correction for {comparisons} comparisons" if comparisons > 1 else ""
    if pd.isna(p):
        return "no test"
    return f"{p_words(p)}{after}" if p < 0.05 else f"not significant{after}"


def p_words(p: float) -> str:
    """'p < 0.001' or 'p = 0.012'."""
    return "p < 0.001" if p < 0.001 else f"p = {p_text(p)}"


def points(value: float) -> str:
    """'1 point', '0.5 points'."""
    return f"{value:g} {'point' if value == 1 else 'points'}"


def names_of(study: Study | None) -> Names:
    """The values whose labels are not how the study file writes them: bert-tiny, 2L-128-2h-512."""
    names: Names = {}
    for axis, values in (study.written if study else {}).items():
        for value in values:
            label = str(RUN_FIELDS[axis].parse(value)).removeprefix(PRETRAINED)
            if str(value) != label:
                names.setdefault(axis, {})[label] = str(value)
    return names


def quoted(names: Names, axis: str, values: Sequence[str] | str) -> str:
    """A value, or several joined ones, as code, as the study file writes them."""
    several = [values] if isinstance(values, str) else values
    return listed(f"`{names.get(axis, {}).get(value, value)}`" for value in several)
