"""Claims of the literature as data: what is said, where, and the contrasts that test it.

A file of claims is a YAML list. The keys of a claim are the fields of `Claim`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kd.axes.fields import RUN_FIELDS
from kd.results.statistics.runs import BUNDLE
from kd.runtime.errors import UserError, shown, unknown
from kd.study.check import Study
from kd.study.read import read_yaml

BETTER, NOT_BETTER, EQUAL, DIFFERENT = EXPECTED = ("better", "not better", "equal", "different")


@dataclass(frozen=True)
class Claim:
    """One claim and the contrasts that test it.

    A contrast [a, b] is the score of a minus that of b, where both are values of `axis`. With
    `gain` it is what the second value of another axis adds to the first at a, minus the same at b.
    """

    claim: str
    source: str
    study: str  # name of its folder
    axis: str
    contrasts: tuple[tuple[str, str], ...]
    expected: str  # one of EXPECTED, of each contrast
    at: dict[str, str] = field(default_factory=dict)  # only runs with these values
    gain: dict[str, tuple[str, str]] = field(default_factory=dict)
    note: str = ""


def read_claims(path: Path, studies: Mapping[str, Study]) -> list[Claim]:
    """The claims of a file, checked against the studies that they name.

    Raises:
        UserError: in one sentence: the file, the claim by its number, what was found, what is
            allowed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file of claims")
    content = read_yaml(path)
    if not isinstance(content, list) or not content:
        raise UserError(f"{path}: found {shown(content)}, allowed: a list of claims")
    claims = []
    for i, entry in enumerate(content):
        try:
            claims.append(_claim(entry, studies))
        except UserError as error:
            raise UserError(f"{path}: claim {i + 1}: {error}") from None
    return claims


def _claim(entry: Any, studies: Mapping[str, Study]) -> Claim:
    names = [f.name for f in fields(Claim)]
    if not isinstance(entry, dict):
        raise UserError(f"found {shown(entry)}, allowed: the keys {', '.join(names)}")
    for key in entry:
        if key not in names:
            raise unknown("key", key, names)
    for key in names[:6]:
        if key not in entry:
            raise UserError(f"{key}: missing")
    if entry["study"] not in studies:
        raise unknown("study", entry["study"], studies)
    if entry["expected"] not in EXPECTED:
        raise unknown("expected", entry["expected"], EXPECTED)
    study = studies[entry["study"]]
    if study.looks:
        raise UserError(f"study: found {study.name}, which has looks; allowed: a study without")
    contrasts = tuple(_pair(entry["axis"], pair, study) for pair in entry["contrasts"])
    gain = {axis: _pair(axis, pair, study) for axis, pair in entry.get("gain", {}).items()}
    at = {axis: _value(axis, value, study) for axis, value in entry.get("at", {}).items()}
    return Claim(**{**entry, "contrasts": contrasts, "gain": gain, "at": at})


def _pair(axis: str, pair: Any, study: Study) -> tuple[str, str]:
    if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
        raise UserError(f"{axis}: found {shown(pair)}, allowed: a list of two different values")
    return _value(axis, pair[0], study), _value(axis, pair[1], study)


def _value(axis: str, value: Any, study: Study) -> str:
    """A value as it is in runs.csv."""
    if axis not in RUN_FIELDS:
        raise unknown("axis", axis, list(RUN_FIELDS))
    if axis == "matching":  # values of knowledge name it, as in logits+hidden:mse
        terms = [t for v in study.axes.get("knowledge", ()) for t in str(v).split("+")]
        known = [term.split(":")[1] for term in terms if ":" in term]
    else:
        known = [str(v) for v in study.axes.get(axis, ())]
    # Runs without a preset are named by their knowledge, as in all tables.
    if axis == BUNDLE and str(study.base.get("knowledge")) == value:
        return str(value)
    text = str(RUN_FIELDS[axis].parse(value))
    if text not in known:
        raise unknown(f"{axis} of the study {study.name}", text, known)
    return text
