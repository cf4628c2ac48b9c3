"""Writes a record to ship: a study's runs.csv, its file, how it was made, and what students said.

It can be written while the study runs, and again later: a run that is not finished is a missing
one. Models and teachers are never part of it.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from kd.axes.initialisations import PRETRAINED
from kd.monitor.answers import write_answers
from kd.monitor.collect import rows_of, write_rows
from kd.monitor.overwriting import refuse_to_lose
from kd.monitor.recorded import filled, other_scores, recorded_rows, records_below
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write, read_json, write_json
from kd.study.grid import Grid, load_grid
from kd.study.paths import ANSWERS, MADE, RECORD, RECORDED, Layout

_SMALL = 2_000_000  # bytes of answers that are shipped
# Keys of a study whose values are files or folders: of a task, a teacher, a corpus, and so on.
_PATHS = {"model", "train", "dev", "files", "path", "plugins", "augmentation_model"}
_UNFINISHED = ("running", "stopped")
# Columns of runs.csv on what trained the runs: their values are counted in made.json.
_MADE_ON = ("device", "threads", "precision_used", "kd_version", "torch_version",
            "transformers_version", "python_version", "evaluated_on")  # fmt: skip


def write_record(
    grid: Grid, layout: Layout, out: Path, commit: str = "", others: Sequence[Path] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Write the folder `out`: runs.csv, study.yaml, made.json, and answers/ if they are small.

    Runs that are not done in `layout` are taken from the record that is in `out`, then from
    `others`.

    Args:
        grid: the study; its results may be finished in part.
        layout: where its results are. Nothing is written there.
        out: the folder; a record that is there grows.
        commit: of the code that trained the runs; '' keeps what made.json has.
        others: folders with a record, or with folders that have one.

    Returns:
        The contents of made.json, and the runs whose score here is not that of a record.

    Raises:
        UserError: the record there has results that would be lost, or the study would be another
            one if its file were in `out`.
    """
    records = [out] * (out / RECORD).is_file() + records_below(others)
    recorded = recorded_rows(records)
    here = [_at_rest(row) for row in rows_of(grid, layout, mark=False)]
    rows = filled(here, grid.runs, recorded)
    known = recorded.keys() & grid.runs.keys()
    refuse_to_lose(out / RECORD, layout.runs, known)
    _write_study(grid, out / RECORDED)
    write_rows(rows, layout, out / RECORD, known)
    before = read_json(out / MADE) if (out / MADE).is_file() else {}
    made = {
        **made_of(rows, grid),
        "commit": commit or before.get("commit", ""),
        "answers": _write_answers(grid, layout, out, records),
    }
    write_json(out / MADE, made)
    return made, other_scores(here, recorded)


def _at_rest(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it stays true: a run that is at work, or was killed, is missing."""
    killed = row["status"] == "failed" and "killed: " in row["error"]
    unfinished = row["status"] in _UNFINISHED or killed
    return {**row, "status": "missing", "error": ""} if unfinished else dict(row)


def made_of(rows: Sequence[Mapping[str, Any]], grid: Grid) -> dict[str, Any]:
    """How far a study is, and on what its runs were made, from the rows of its record."""
    done = [row for row in rows if row["status"] == "done"]
    dates = sorted(row["created"] for row in done if row.get("created"))
    seconds = [float(row["train_seconds"]) for row in done if row.get("train_seconds")]
    return {
        "study": grid.study.name,
        "runs": len(rows),
        "done": len(done),
        "failed": sum(row["status"] == "failed" for row in rows),
        "done_by_task": _by_task(done, rows),
        "first": dates[0] if dates else "",
        "last": dates[-1] if dates else "",
        "train_hours": round(sum(seconds) / 3600, 2),
        **{name: _counted(row.get(name) for row in done) for name in _MADE_ON},
    }


def _by_task(
    done: Iterable[Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]
) -> dict[str, list[int]]:
    """By task: runs that are done, and all runs."""
    ready = Counter(row["task"] for row in done)
    return {task: [ready[task], count] for task, count in Counter(r["task"] for r in rows).items()}


def _counted(values: Iterable[Any]) -> dict[str, int]:
    """Each value, and how many runs have it."""
    return dict(sorted(Counter(str(value) for value in values if value not in (None, "")).items()))


def _write_answers(grid: Grid, layout: Layout, out: Path, records: Sequence[Path]) -> str:
    """Write answers/ if they are small, and return a sentence on what the folder has.

    Answers that were there before stay, because the record may have the only copy of them.
    """
    before = (out / ANSWERS).exists()
    remarks = write_answers(grid, layout, out / RECORD, [folder / RECORD for folder in records])
    files = sorted((out / ANSWERS).glob("*.parquet"))
    size = sum(file.stat().st_size for file in files)
    if size > _SMALL and not before:
        shutil.rmtree(out / ANSWERS)
        return f"left out: {size / 1e6:.1f} MB"
    return "; ".join([f"{len(files)} task{'s' * (len(files) != 1)}", *remarks]) if files else "none"


def _write_study(grid: Grid, path: Path) -> None:
    """Copy the study's file, with its relative paths as they are from its new folder."""
    source = grid.study.path
    if path.exists() and path.samefile(source):
        return
    text = moved(source.read_text(encoding="utf-8"), source.parent, path.parent)
    before = path.read_bytes() if path.exists() else None
    atomic_write(path, text)
    try:
        same = set(load_grid(path).runs) == set(grid.runs)
    except UserError:
        same = False
    if not same:
        atomic_write(path, before) if before is not None else path.unlink()
        raise UserError(
            f"{source}: its paths cannot be told from the folder {path.parent}: move the study to "
            f"{path} and record it there"
        )


def moved(text: str, old: Path, new: Path) -> str:
    """The text of a study file of the folder `old` for the folder `new`: only paths change."""
    text = re.sub(r"(?<=\$schema=)\.\.?/[\w./-]+", lambda m: _from(new, old / m[0]), text)
    keys_by_end: dict[int, set[str]] = {}  # an anchor's value is there once, below several keys
    for node, keys in _scalars(yaml.compose(text, yaml.SafeLoader)):
        keys_by_end.setdefault(node.end_mark.index, set()).update(keys)
    tokens = [token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken)]
    for token in reversed(tokens):
        start, end = token.start_mark.index, token.end_mark.index
        if end not in keys_by_end:  # a key
            continue
        prefix = PRETRAINED if token.value.startswith(PRETRAINED) else ""
        value = token.value.removeprefix(prefix)
        names_one = bool(prefix or keys_by_end[end] & _PATHS) and _is_file(old, value)
        if value.startswith(("./", "../")) or names_one:
            quote = token.style or ""
            text = text[:start] + quote + prefix + _from(new, old / value) + quote + text[end:]
    return text


def _scalars(
    node: yaml.Node | None, keys: frozenset[str] = frozenset()
) -> Iterator[tuple[yaml.ScalarNode, frozenset[str]]]:
    """The values in a YAML node that are no keys, each with the keys that lead to it."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, keys | {str(key.value)})
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value, keys)
    elif isinstance(node, yaml.ScalarNode):
        yield node, keys


def _from(folder: Path, path: Path) -> str:
    """The path relative to a folder, written like one."""
    relative = os.path.relpath(path.absolute(), folder.absolute())
    return relative if relative.startswith("../") else f"./{relative}"


def _is_file(folder: Path, text: str) -> bool:
    """Whether a value names a file or folder next to the study file, or is a pattern of some."""
    if not text.strip(". ") or Path(text).is_absolute():
        return False
    try:
        return (folder / text).exists() or any(True for _ in folder.glob(text))
    except (OSError, ValueError):  # no file can have such a name
        return False
