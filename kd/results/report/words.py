"""How numbers and names are written in sentences."""

from collections.abc import Iterable, Sequence

import pandas as pd

from kd.axes.fields import RUN_FIELDS
from kd.axes.initialisations import PRETRAINED
from kd.results.numbers import p_text, plain
from kd.study.check import Study

_SHOWN = 6  # items of a list that are named one by one
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


def listed(items: Iterable[str], last: str = "and", shown: int = _SHOWN) -> str:
    """'a, b and c'; of a long list the first ones, and how many more; 'none' of an empty list."""
    names = list(items)
    if not names:
        return "none"
    if len(names) > shown + 1:
        names = [*names[:shown], f"{len(names) - shown} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def count(n: int, one: str, several: str = "") -> str:
    """'1 run', '3 runs'."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


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
