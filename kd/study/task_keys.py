"""The key `tasks` of a study file: each task of the user's own, checked; no data file is read."""

import codecs
import re
from pathlib import Path
from typing import Any

from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind
from kd.axes.metrics import DEFAULTS, METRICS
from kd.axes.plugins import hashes, plugins_of
from kd.axes.tasks import TASKS, Source, Task
from kd.axes.values import number
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.label_keys import column_of, label_names, label_sets
from kd.study.located import located_path
from kd.study.mistakes import at, keep, kept, number_kept

# Endings of names, without .gz.
FORMATS = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "lines": (),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
}
KEYS = {
    "train": "file of the training examples: CSV, TSV, JSON lines or Parquet, plain or gzip",
    "dev": "file of the dev examples; {name: file} for several, one of them named dev; or "
    "{share, seed}: a share of the training file",
    "text": "column of the text, or a list of two for pairs: a name, or a position from 0",
    "label": "column of the label",
    "labels": "names of the labels in order; without it those of the training examples, sorted. Or "
    "{from, multi: true}: an example has any number of labels",
    "regression": "[lowest, highest]: the label is a score",
    "metrics": f"of {listing(METRICS)}; the score is the mean of those of which more is better",
    "format": f"{listing(FORMATS)}; without it, what the file's name tells (lines: a label, "
    "a blank, the text: columns 0 and 1)",
    "encoding": "of the file (utf-8)",
    "header": "false: the file has no header, and columns are positions",
    "quotes": 'whether " quotes fields (true for CSV, false for TSV)',
    "hub": "id of a dataset on the hub, in place of files",
    "config": "its configuration",
    "revision": "its commit, 40 hex digits",
    "splits": "its splits, {train: NAME, dev: NAME}",
}
_HUB = ("hub", "config", "revision", "splits")
_FILES = ("train", "dev", "format", "encoding", "header", "quotes")
# The formats in which a key changes what is read.
_ONLY = {
    "header": ("csv", "tsv"),
    "quotes": ("csv", "tsv"),
    "encoding": ("csv", "tsv", "lines", "jsonl"),
}
SPLIT = r"[a-z0-9][a-z0-9-]{0,31}"


def format_of(name: str) -> str:
    """The format that a file's name tells; '' where it tells none."""
    plain = name.lower().removesuffix(".gz")
    return next((kind for kind, ends in FORMATS.items() if plain.endswith(ends)), "")


def own_tasks(value: Any, study: Path) -> dict[str, Task]:
    """The key `tasks`, checked; no data file is read.

    Raises:
        UserError: the key, what was found, what is allowed.
    """
    tasks = {}
    for name, keys in _mapping(value, "tasks").items():
        if not isinstance(name, str) or not re.fullmatch(SPLIT, name):
            keep(UserError(f"tasks: found {shown(name)}, allowed: names of a-z, 0-9 and -"))
        elif name in TASKS:
            keep(UserError(f"tasks.{name}: the name of a task that is there already"))
        else:
            with kept(), at(f"tasks.{name}"):
                task = _task(name, _mapping(keys, "a task"), study)
                if task:
                    tasks[name] = task
    return tasks


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    if not isinstance(value, dict) or not value:
        raise UserError(f"{where}: found {shown(value)}, allowed: keys with values")
    return value


def _task(name: str, keys: dict[Any, Any], study: Path) -> Task | None:
    """A task; None where mistakes of its keys were kept."""
    before = number_kept()
    _check_keys(keys)
    if number_kept() > before:
        return None
    span: tuple[float, float] | None = None
    parts: dict[str, Any] = {}
    with kept():
        span = _range(keys["regression"]) if "regression" in keys else None
    with kept():
        parts["text"] = text = _columns(keys["text"])
    with kept():
        parts |= _labels(keys)
    with kept():
        parts |= _hub(keys) if "hub" in keys else _files(keys, study)
    if number_kept() > before:
        return None
    source = Source(**parts)
    kind = SCORES if span else LABELS if source.multi else CLASSES
    scored, others = _metrics(keys, kind)
    dev = [split for split, _ in source.splits if split != "train"] or ["dev"]
    return Task(
        title=name,
        columns=("sentence1", "sentence2")[: len(text)],
        labels=(),
        metrics=scored,
        examples=0,
        tokens=0,
        dev=tuple((split, split) for split in sorted(dev, key=lambda split: split != "dev")),
        range=span,
        multi=source.multi,
        others=others,
        source=source,
        plugins=tuple(hashes(plugins_of(METRICS[name] for name in (*scored, *others)))),
    )


def _check_keys(keys: dict[Any, Any]) -> None:
    """Check which keys a task has."""
    wrong = [key for key in keys if key not in KEYS]
    for key in wrong:
        keep(unknown("key", key, KEYS))
    hub = "hub" in keys
    foreign = [key for key in (_FILES if hub else _HUB) if key in keys]
    for key in foreign:
        kind = "files" if hub else "a dataset of the hub (key hub)"
        keep(UserError(f"{key}: it is for {kind} alone"))
    described = isinstance(keys.get("labels"), dict)
    if described and "label" in keys:
        keep(UserError("label: labels.from names the column already"))
    if "regression" in keys and "labels" in keys:
        keep(UserError("labels: a regression has none"))
    for key in (*(_HUB if hub else _FILES[:2]), "text", "labels" if described else "label"):
        if key not in keys and key != "config" and not wrong + foreign:
            keep(UserError(f"{key}: missing"))


def _labels(keys: dict[Any, Any]) -> dict[str, Any]:
    """The parts of a source that say where the labels are, and their names."""
    if isinstance(keys.get("labels"), dict):
        return label_sets(keys["labels"])
    labels = label_names(keys["labels"], "labels") if "labels" in keys else ()
    return {"label": column_of(keys["label"], "label"), "labels": labels}


def _files(keys: dict[Any, Any], study: Path) -> dict[str, Any]:
    """The parts of a source of files."""
    dev, parts = keys["dev"], dict[str, Any]()
    if isinstance(dev, dict) and "share" in dev:
        for key in dev:
            if key not in ("share", "seed"):
                raise unknown("dev: key", key, ("share", "seed"))
        parts["share"] = _parsed(number(0, 0.9, above=True), dev["share"], "dev.share")
        parts["share_seed"] = _parsed(
            number(0, 2**32 - 1, whole=True), dev.get("seed", 0), "dev.seed"
        )
        dev = {}
    elif not isinstance(dev, dict):
        dev = {"dev": dev}
    if "train" in dev:
        raise UserError(
            "dev: found train, which is the training file; give this dev file another name"
        )
    _check_splits({"train": 0, "dev": 0, **dev} if parts else {"train": 0, **dev}, "dev")
    files = {
        split: _file(file, key, study)
        for split, file, key in [
            ("train", keys["train"], "train"),
            *((s, f, f"dev.{s}") for s, f in dev.items()),
        ]
    }
    parts["splits"] = tuple(files.items())
    if not isinstance(keys.get("format", ""), str):
        raise unknown("format", keys["format"], FORMATS)
    kinds = {keys.get("format") or format_of(Path(file).name) for file in files.values()}
    if len(kinds) > 1:
        raise UserError(f"format: the files are of several: {listing(sorted(kinds))}")
    kind = kinds.pop()
    if kind not in FORMATS:
        if "format" in keys:
            raise unknown("format", kind, FORMATS)
        raise UserError(
            f"format: missing; the name {Path(keys['train']).name} does not tell it, allowed: "
            f"{listing(FORMATS)}"
        )
    parts["format"] = kind
    for key, where in _ONLY.items():
        if key in keys and kind not in where:
            raise UserError(f"{key}: it would change nothing: {kind} files have none")
    for key, usual in (("header", kind != "lines"), ("quotes", kind != "tsv")):
        parts[key] = keys.get(key, usual)
        if not isinstance(parts[key], bool):
            raise UserError(f"{key}: found {shown(parts[key])}, allowed: true, false")
    encoding = keys.get("encoding", "utf-8")
    try:
        b"x".decode(encoding, "ignore")  # codecs such as hex are found, and decode no text
        parts["encoding"] = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise UserError(
            f"encoding: found {shown(encoding)}, allowed: a name such as utf-8, iso-8859-1, cp1252"
        ) from None
    return parts


def _file(value: Any, key: str, study: Path) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(
            f"{key}: found {shown(value)}, allowed: a file, from the study file's folder"
        )
    with at(key):
        return located_path(value.strip(), study)


def _hub(keys: dict[Any, Any]) -> dict[str, Any]:
    """The parts of a source on the hub."""
    for key in ("hub", "config", "revision"):
        if not isinstance(keys.get(key, ""), str):
            raise UserError(f"{key}: found {shown(keys[key])}, allowed: text")
    if not re.fullmatch("[0-9a-f]{40}", keys["revision"]):
        raise UserError(
            f"revision: found {shown(keys['revision'])}, allowed: a commit of 40 hex digits, since "
            f"a branch may change (the dataset's page on the hub lists them under Files, History)"
        )
    splits = _mapping(keys["splits"], "splits")
    _check_splits(splits, "splits")
    if "train" not in splits or not all(isinstance(name, str) for name in splits.values()):
        raise UserError(f"splits: found {shown(splits)}, allowed: {{train: NAME, dev: NAME}}")
    ordered = ("train", *(split for split in splits if split != "train"))
    return {
        "splits": tuple((s, splits[s]) for s in ordered),
        "hub": keys["hub"],
        "config": keys.get("config", ""),
        "revision": keys["revision"],
    }


def _check_splits(splits: dict[Any, Any], where: str) -> None:
    for split in splits:
        if not isinstance(split, str) or not re.fullmatch(SPLIT, split):
            raise UserError(f"{where}: found {shown(split)}, allowed: names of a-z, 0-9 and -")
    if "dev" not in splits:
        raise UserError(f"{where}: none is named dev, whose score is the task's score")


def _columns(value: Any) -> tuple[str | int, ...]:
    columns = value if isinstance(value, list) else [value]
    if not 1 <= len(columns) <= 2:
        raise UserError(f"text: found {shown(value)}, allowed: one column, or a list of two")
    return tuple(column_of(column, "text") for column in columns)


def _range(value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise UserError(f"regression: found {shown(value)}, allowed: [lowest, highest]")
    low, high = (_parsed(number(-1e9, 1e9), end, "regression") for end in value)
    if not low < high:
        raise UserError(f"regression: found {shown(value)}, allowed: [lowest, highest]")
    return low, high


def _metrics(keys: dict[Any, Any], kind: Kind) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those behind the score, and the others."""
    value = keys.get("metrics", list(DEFAULTS[kind]))
    allowed = [name for name, row in METRICS.items() if kind in row.kinds]
    if not isinstance(value, list) or not value:
        raise UserError(f"metrics: found {shown(value)}, allowed: a list of {listing(allowed)}")
    for name in value:
        if name not in allowed:
            raise unknown("metrics", name, allowed)
        if value.count(name) > 1:
            raise UserError(f"metrics: {name} is there twice")
    scored = tuple(name for name in value if METRICS[name].scored)
    if not scored:
        able = [name for name in allowed if METRICS[name].scored]
        raise UserError(
            f"metrics: found {listing(value)}, none of which can be the score; add one "
            f"of {listing(able)}"
        )
    return scored, tuple(name for name in value if name not in scored)


def _parsed(kind: dict[str, Any], value: Any, where: str) -> Any:
    with at(where):
        return kind["parse"](value)
