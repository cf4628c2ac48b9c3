"""The values of the axes as text: what `kd axes` prints, and docs/axes.md."""

import textwrap
from collections.abc import Iterable

from kd.axes.section import Section
from kd.axes.sections import sections
from kd.runtime.errors import unknown

_TITLE = """\
Every value that a study can give to an axis, with its formula, needs, default and source. Made from
the tables of the code by `kd axes --markdown`; `kd axes NAME` prints one section.

S is the student, T the teacher (in mappings and initialisations their numbers of layers), s and t
one layer of each, counted from 1; H is the hidden size, h the heads, d = H / h, L the tokens, B the
batch, C the classes, tau the temperature. Every loss is the mean over its valid units (examples,
tokens, query rows, heads, pairs): padding never changes it.

"When to take it" follows from the formula, or is what the named source claims; nothing of it was
measured here. kd/axes/citations.bib has the sources as BibTeX."""


def chosen(name: str | None) -> list[Section]:
    """The section of that name, or all.

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
    return text.replace("|", r"\|").replace("<", r"\<").replace("*", r"\*").replace("_", r"\_")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, 100, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def plain(found: Iterable[Section]) -> str:
    """The same for a terminal: a value, and its facts below it."""
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
