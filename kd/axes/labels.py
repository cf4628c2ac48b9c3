"""Labels: the text by which tables name a run's value of each axis. They go through runs.csv.

Two marks are no values. The label `INERT` says that the axis cannot affect the run. Where several
cells are one run, its label has all their values, joined by `ALIAS`.
"""

from collections.abc import Mapping

from kd.runtime.errors import UserError, shown

NONE = "none"  # a value of its own: no knowledge, no preset, no erratum
INERT = "-"
ALIAS = " = "


def parts(label: str) -> list[str]:
    """The values that a label stands for, at least one."""
    return label.split(ALIAS)


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The labels of one run that two cells are: where they differ, both, as in `first = last`."""
    return {
        axis: ALIAS.join(dict.fromkeys([*parts(label), *parts(new[axis])]))
        for axis, label in old.items()
    }


def check_label(text: str) -> str:
    """The text, if it can be a label.

    Raises:
        UserError: it reads as one of the two labels that are no value.
    """
    if text == INERT:
        raise UserError(f"found {shown(text)}, which stands for 'no effect' in the tables")
    if ALIAS in text:
        raise UserError(
            f"found {shown(text)}, allowed: text without {ALIAS!r}, which joins values of equal "
            f"cells in the tables"
        )
    return text
