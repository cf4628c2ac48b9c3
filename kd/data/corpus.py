"""The corpus of a stage: which text it is, and what identifies it. No text is read here."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from kd.runtime.digests import cached_content_digest
from kd.runtime.hashes import short_hash
from kd.runtime.user_paths import readable

# In the folder of packed tokens.
MANIFEST = "manifest.json"  # stays where the tokens are removed
TOKENS = "tokens"  # the folder of the arrays


@dataclass(frozen=True)
class Corpus:
    """Unlabelled text: files with their formats (text, jsonl, parquet), or a dataset of the hub."""

    files: tuple[tuple[str, str], ...]  # (absolute path, format)
    column: str  # of the text, but in text files
    held_out: float  # share of the lines or records that is never trained on
    hub: str = ""
    config: str = ""
    revision: str = ""
    split: str = ""


@cache
def corpus_files(corpus: Corpus) -> tuple[tuple[str, str, str], ...]:
    """(digest of the content, format, path) of each file, in the order in which they are read.

    They are sorted by their contents, so that neither their names nor their place changes a number.

    Raises:
        UserError: a file cannot be read.
    """
    found = [
        (cached_content_digest(readable(Path(path)))[:16], kind, path)
        for path, kind in corpus.files
    ]
    return tuple(sorted(found))


@cache
def corpus_identity(corpus: Corpus) -> dict[str, Any]:
    """What the numbers of a stage depend on: contents and how they are read, never paths.

    Raises:
        UserError: a file cannot be read.
    """
    found: dict[str, Any] = {"source": "hub" if corpus.hub else "files"}
    if corpus.hub:
        names = ("hub", "config", "revision", "split", "column")
        found |= {name: value for name in names if (value := getattr(corpus, name))}
    else:
        files = corpus_files(corpus)
        found["files"] = [f"{kind} {digest}" for digest, kind, _ in files]
        if any(kind != "text" for _, kind, _ in files):
            found["column"] = corpus.column
    return {**found, "held_out": corpus.held_out}


def corpus_id(corpus: Corpus) -> str:
    """The name of its folder."""
    found = corpus_identity(corpus)
    return f"{found['source']}-{short_hash(found)}"
