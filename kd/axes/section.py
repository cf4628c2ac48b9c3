"""A table of the page of axes."""

from dataclasses import dataclass

WHEN = "when to use it"


@dataclass(frozen=True)
class Section:
    """One axis: an introduction and a table whose first column is the value."""

    name: str
    text: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
