"""The key `design` of a study: which cells of its axes are run."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from kd.axes.fields import RUN_FIELDS
from kd.axes.values import number
from kd.runtime.errors import UserError, listing, shown, unknown

FACTORIAL, ALONE, FRACTION, RANDOM = "factorial", "one-at-a-time", "fraction", "random"
DESIGNS = (FACTORIAL, ALONE)
CROSSED = ("task", "seed")  # crossed with all else, whatever the design
_KEYS = {FRACTION: ("share", "cells", "pairs", "seed"), RANDOM: ("share", "cells", "seed")}
_SIZE = "1/4, a number of cells, or keys such as {cells: 24, seed: 0}"


@dataclass(frozen=True)
class Design:
    """Which cells of the axes are run, each on every task and with every seed.

    A fraction or a random part has `cells` cells, or `share` of those that can run. `seed` draws
    it. The interactions of `pairs` of axes are estimated like the axes.
    """

    kind: str = FACTORIAL
    cells: int | None = None
    share: Fraction | None = None
    seed: int = 0
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def chosen(self) -> bool:
        """Whether only a part of the cells is run."""
        return self.kind in _KEYS

    def count(self, possible: int) -> int:
        """The number of cells, of so many that can run."""
        return self.cells or max(1, round(possible * (self.share or 1)))

    def __str__(self) -> str:
        if not self.chosen:
            return self.kind
        return f"{self.kind} ({f'{self.cells} cells' if self.cells else self.share})"


def design_of(value: Any) -> Design:
    """The key `design`, checked by itself."""
    if isinstance(value, str):
        if value in _KEYS:
            raise UserError(
                f"design: found {value} without its size, allowed: {{{value}: {_SIZE}}}"
            )
        if value not in DESIGNS:
            raise unknown("design", value, (*DESIGNS, *_KEYS))
        return Design(value)
    if not isinstance(value, dict) or len(value) != 1:
        raise UserError(
            f"design: found {shown(value)}, allowed: {listing(DESIGNS)}, {{fraction: 1/4}}, or "
            "{random: 1/4}"
        )
    ((kind, size),) = value.items()
    if kind not in _KEYS:
        raise unknown("design: key", kind, _KEYS)
    where = f"design.{kind}"
    if not isinstance(size, dict):
        return _sized(kind, size, where)
    for key in size:
        if key not in _KEYS[kind]:
            raise unknown(f"{where}: key", key, _KEYS[kind])
    if ("share" in size) == ("cells" in size):
        raise UserError(f"{where}: found {shown(size)}, allowed: one of share and cells")
    whole = number(0, 2**32 - 1, whole=True)["parse"]
    try:
        seed = int(whole(size.get("seed", 0)))
    except UserError as error:
        raise UserError(f"{where}.seed: {error}") from None
    if "cells" in size:
        cells = size["cells"]
        if isinstance(cells, bool) or not isinstance(cells, int) or cells < 2:
            raise UserError(f"{where}.cells: found {shown(cells)}, allowed: a number from 2")
        return Design(kind, cells, None, seed, _pairs(size.get("pairs", []), where))
    share = _share(size["share"], f"{where}.share")
    return Design(kind, None, share, seed, _pairs(size.get("pairs", []), where))


def _sized(kind: str, size: Any, where: str) -> Design:
    """A design whose size alone is given: a share as text or number, or a number of cells."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 1:
        return Design(kind, size)
    return Design(kind, None, _share(size, where))


def _share(value: Any, where: str) -> Fraction:
    try:
        share = None if isinstance(value, bool) else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        share = None
    if share is None or not 0 < share < 1:
        raise UserError(f"{where}: found {shown(value)}, allowed: {_SIZE}")
    return share


def _pairs(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, list):
        raise UserError(f"{where}.pairs: found {shown(value)}, allowed: a list of pairs of axes")
    pairs = []
    for i, pair in enumerate(value):
        here = f"{where}.pairs[{i}]"
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise UserError(
                f"{here}: found {shown(pair)}, allowed: two axes, as [mapping, student]"
            )
        for axis in pair:
            if not isinstance(axis, str) or axis not in RUN_FIELDS:
                raise unknown(here, axis, RUN_FIELDS)
        pairs.append((pair[0], pair[1]))
    return tuple(pairs)


def check_design(design: Design, axes: Iterable[str], tuned: Iterable[str]) -> None:
    """Check that a design has axes to choose cells of, and that its pairs are among them."""
    free = [axis for axis in axes if axis not in (*CROSSED, *tuned)]
    if not design.chosen:
        return
    if not free:
        raise UserError(
            f"design.{design.kind}: the study has no axis to take a part of: task, seed and what "
            "`select` tunes are always crossed"
        )
    for i, pair in enumerate(design.pairs):
        for axis in pair:
            if axis not in free:
                raise unknown(f"design.{design.kind}.pairs[{i}]", axis, free)


def design_text(design: Design, cells: int, possible: int) -> str:
    """The column `design` of runs.csv: a part of the grid as JSON."""
    keys = {"kind": design.kind, "cells": cells, "possible": possible, "pairs": design.pairs}
    return json.dumps(keys)


def read_design(column: Iterable[str]) -> tuple[Design, int] | None:
    """A part of the grid, and how many cells could run; None where the column is blank.

    Raises:
        ValueError: the text is not from `design_text`, or differs by row.
    """
    texts = sorted({text for text in column if text.strip()})
    if not texts:
        return None
    known = None
    with suppress(ValueError, KeyError, TypeError):
        read = json.loads(texts[0])
        pairs = tuple((str(a), str(b)) for a, b in read["pairs"])
        design = Design(str(read["kind"]), int(read["cells"]), pairs=pairs)
        known = (design, int(read["possible"])) if design.chosen else None
    if len(texts) > 1 or known is None:
        raise ValueError(
            f"design: found {shown(texts[-1])}, allowed: what `kd collect` writes there, the same "
            f"in every row"
        )
    return known


def design_schema() -> dict[str, Any]:
    """The JSON schema of the key."""
    number = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
    share = {"anyOf": [{"type": "string", "pattern": r"^\d+/\d+$"}, number]}
    cells = {"type": "integer", "minimum": 2}
    axes = {"enum": list(RUN_FIELDS)}
    keys = {
        "share": {**share, "description": "of the cells that can run"},
        "cells": {**cells, "description": "number of cells, each on every task with every seed"},
        "pairs": {
            "type": "array",
            "items": {"type": "array", "items": axes, "minItems": 2, "maxItems": 2},
            "description": "pairs of axes whose interaction is estimated like an axis",
        },
        "seed": {"type": "integer", "minimum": 0, "description": "draws the cells (0)"},
    }
    parts = [
        {
            "type": "object",
            "properties": {
                kind: {
                    "anyOf": [
                        *share["anyOf"],
                        cells,
                        {
                            "type": "object",
                            "properties": {key: keys[key] for key in allowed},
                            "additionalProperties": False,
                            "oneOf": [{"required": ["share"]}, {"required": ["cells"]}],
                        },
                    ]
                }
            },
            "additionalProperties": False,
            "required": [kind],
        }
        for kind, allowed in _KEYS.items()
    ]
    return {
        "anyOf": [{"enum": list(DESIGNS)}, *parts],
        "description": "which cells of the axes are run; task and seed are always crossed",
    }
