"""Labels: the texts that stand for the values of a run's axes in runs.csv and in tables.

Two marks are no values. The label `INERT` says that the axis cannot affect the run. Where several
cells are one run, its label has all their values, joined by `ALIAS`.
"""

from collections.abc import Mapping

from kd.runtime.errors import UserError, shown

NONE = "none"  # a value of its own: no knowledge, no preset, no erratum
INERT = "-"
ALIAS = " = "
# A name that a study file gives: of the study, a teacher, a stage, a transfer set.
NAME = r"[a-z0-9][a-z0-9_-]{0,62}"


def parts(label: str) -> list[str]:
    """The values that a label stands for, at least one."""
    return label.split(ALIAS)


def merged(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """The labels of a run that two cells share; different ones joined, as in `first = last`."""
    return {
        axis: ALIAS.join(dict.fromkeys([*parts(label), *parts(new[axis])]))
        for axis, label in old.items()
    }


def check_label(text: str) -> str:
    """Return the text if it can be a label.

    Raises:
        UserError: the text has a special meaning in labels.
    """
    if text == INERT:
        raise UserError(f"found {shown(text)}, which stands for 'no effect' in the tables")
    if ALIAS in text:
        raise UserError(
            f"found {shown(text)}, allowed: text without {ALIAS!r}, which joins values of equal "
            f"cells in the tables"
        )
    return text
