"""A table of the page of axes."""

from dataclasses import dataclass

WHEN = "when to take it, what it is related to"


@dataclass(frozen=True)
class Section:
    """One axis: an introduction and a table whose first column is the value."""

    name: str
    text: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
