"""The blocks of code of all pages, as a reader copies them."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [p for folder in (".", "docs", "config", "results") for p in (ROOT / folder).glob("*.md")]
_BLOCK = re.compile(r"^( *)```([^\n`]*)\n(.*?)^ *```$", flags=re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    """A block of a page; `number` counts those of its language, from 0."""

    page: str
    language: str
    number: int
    text: str


def snippets(language: str | None = None) -> list[Snippet]:
    """Those of all pages, in one language or in all."""
    found: list[Snippet] = []
    for path in sorted(PAGES):
        page = path.relative_to(ROOT).as_posix()
        for indent, name, text in _BLOCK.findall(path.read_text(encoding="utf-8")):
            number = sum((s.page, s.language) == (page, name) for s in found)
            text = re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
            found.append(Snippet(page, name, number, text))
    return [s for s in found if language in (None, s.language)]


def snippet(page: str, language: str, number: int = 0) -> str:
    """The text of one of them."""
    (text,) = [s.text for s in snippets() if s[:3] == (page, language, number)]
    return text
