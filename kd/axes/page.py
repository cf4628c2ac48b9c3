"""The values of all axes as text, for `kd axes` and docs/axes.md."""

import re
import textwrap
from collections.abc import Iterable
from typing import Any

from kd.axes.section import Section
from kd.axes.sections import sections
from kd.runtime.errors import unknown

_TITLE = """\
This page lists every value that a study can give to an axis, with its formula, what it needs, the
default and the source. `kd axes --markdown` makes it from the tables of the code, and
`kd axes NAME` prints one section.

In formulas, S stands for the student and T for the teacher. In mappings and initialisations, S and
T are their numbers of layers, and s and t are single layers, counted from 1. H is the hidden size,
h the number of heads, d = H / h, L the number of tokens, B the batch size, C the number of classes,
and tau the temperature. Every loss is the mean over its valid units (examples, tokens, query rows,
heads or pairs), so padding never changes it.

The column "when to use it" follows from the formulas or repeats what the named source claims. This
project has measured none of it. kd/axes/citations.bib has the sources as BibTeX."""


def chosen(name: str | None) -> list[Section]:
    """The section called `name`; all sections if it is None.

    Raises:
        UserError: no section has this name.
    """
    found = sections()
    if name is None:
        return found
    by_name = {section.name: section for section in found}
    if name not in by_name:
        raise unknown("axis", name, by_name)
    return [by_name[name]]


def markdown(found: Iterable[Section]) -> str:
    """The page docs/axes.md."""
    lines = ["# Axes", "", _TITLE, ""]
    for section in found:
        lines += [f"## {section.name}", "", *_wrapped(section.text), ""]
        lines += [_row(section.columns), _row(["---"] * len(section.columns))]
        lines += [_row([f"`{row[0]}`", *map(_escaped, row[1:])]) for row in section.rows]
        lines.append("")
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text for a cell of a table. Markdown shows a backslash within code, so code has none."""
    parts = text.replace("|", r"\|").split("`")
    parts[::2] = [re.sub(r"[<*_]", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def data(found: Iterable[Section]) -> list[dict[str, Any]]:
    """The sections for programs: `axis`, `text`, and `values`, a dictionary of facts for each."""
    return [
        {
            "axis": section.name,
            "text": section.text,
            "values": [dict(zip(section.columns, row, strict=True)) for row in section.rows],
        }
        for section in found
    ]


def plain(found: Iterable[Section]) -> str:
    """The sections for a terminal. Each value is followed by its facts."""
    lines = []
    for section in found:
        lines += [section.name.upper(), *_wrapped(section.text), ""]
        for row in section.rows:
            lines.append(f"  {row[0]}")
            for column, cell in zip(section.columns[1:], row[1:], strict=True):
                if cell:
                    lines += _wrapped(f"{column}: {cell}", "      ")
        lines.append("")
    return "\n".join(lines).rstrip()
