"""Gathers all mistakes of a study file, and tells the line of each.

A check raises UserError at the first mistake. Where the rest can be checked without it, the check
passes the error to `keep`, or is within `kept`, and goes on with the next key or value. Within
`told`, what was kept is one error at the end; elsewhere the first mistake is raised at once.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import yaml

from kd.runtime.errors import UserError

SHOWN = 20  # mistakes of one file
_PATH = re.compile(r"([\w-]+(?:\.[\w-]+|\[\d+\])*)(?: \(.*\))?")
_KEPT: ContextVar[list[str] | None] = ContextVar("kept", default=None)
_PLACES: ContextVar[str] = ContextVar("places", default="")


def keep(error: UserError) -> None:
    """Keep a mistake and go on; raise it where nobody gathers mistakes."""
    gathered = _KEPT.get()
    if gathered is None:
        raise error
    sentence = f"{_PLACES.get()}{error}"
    if sentence not in gathered:
        gathered.append(sentence)


@contextmanager
def kept() -> Iterator[None]:
    """Keep the mistake that ends the block."""
    try:
        yield
    except UserError as error:
        keep(error)


@contextmanager
def at(place: str) -> Iterator[None]:
    """Put a place before the mistakes of the block: `place: mistake`."""
    token = _PLACES.set(f"{_PLACES.get()}{place}: ")
    try:
        yield
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    finally:
        _PLACES.reset(token)


def number_kept() -> int:
    """How many mistakes have been kept so far."""
    return len(_KEPT.get() or ())


@contextmanager
def told(study: Path) -> Iterator[None]:
    """Raise all mistakes of the block as one error, in the order of their lines in the file.

    Raises:
        UserError: one sentence; or a line for each mistake, if there are several.
    """
    sentences: list[str] = []
    token = _KEPT.set(sentences)
    try:
        with kept():
            yield
    finally:
        _KEPT.reset(token)
    if sentences:
        raise UserError(_as_text(study, sentences))


def _as_text(study: Path, sentences: list[str]) -> str:
    root = _root(study)
    lines = [(line_of(sentence, root), sentence) for sentence in sentences]
    lines.sort(key=lambda pair: pair[0] or 0)
    texts = [f"line {line}: {text}" if line else text for line, text in lines]
    if len(texts) == 1:
        return f"{study}: {texts[0]}"
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return "\n  ".join([f"{study}: {len(texts)} mistakes", *texts[:SHOWN], *more])


def _root(study: Path) -> yaml.Node | None:
    """The file as YAML nodes, which know their lines; None where it is no YAML."""
    try:
        return yaml.compose(study.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def line_of(sentence: str, root: yaml.Node | None) -> int | None:
    """The line of the file that a mistake is about, or None.

    The sentence starts with places (`axes.mapping[0]`, `tasks.mine: dev.share`), each within the
    one before. What was found (`key: found 'epoch'`) may be a key there. The line is that of the
    last part that the file has.
    """
    if root is None:
        return None
    node, line = root, None
    *places, _ = sentence.split(": ") if ": " in sentence else [sentence, ""]
    for place in places:
        match = _PATH.fullmatch(place)
        for name in re.findall(r"[\w-]+", match[1]) if match else ():
            if (inner := _inner(node, name)) is None:
                break
            line, node = inner
    quoted = re.search(r"found '([^']*)'", sentence)
    if quoted and (inner := _inner(node, quoted[1])) is not None:
        line = inner[0]
    return line


def _inner(node: yaml.Node, name: str) -> tuple[int, yaml.Node] | None:
    """(line, value) of a key of a mapping or of an item of a list; None where it is not there."""
    if isinstance(node, yaml.SequenceNode) and name.isdecimal():
        items = node.value[int(name) : int(name) + 1]
        return (items[0].start_mark.line + 1, items[0]) if items else None
    if not isinstance(node, yaml.MappingNode):
        return None
    for key, value in node.value:
        if key.value == name:
            return key.start_mark.line + 1, value
    merged = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
    parts = [p for v in merged for p in (v.value if isinstance(v, yaml.SequenceNode) else [v])]
    return next((inner for part in parts if (inner := _inner(part, name))), None)
