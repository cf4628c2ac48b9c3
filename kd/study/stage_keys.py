"""The key `stages` of a study file: each stage before the task, checked; no text is read."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd.axes.labels import NAME
from kd.axes.presets import read_preset, stage_presets
from kd.axes.stages import (
    CORPUS_DEFAULTS,
    CORPUS_FIELDS,
    MLM,
    STAGE_DEFAULTS,
    STAGE_FIELDS,
)
from kd.axes.terms import parse_knowledge
from kd.axes.weights import as_weight
from kd.data.corpus import Corpus
from kd.runtime.errors import UserError, shown, unknown
from kd.study.keys import mapping_of, values_of
from kd.study.located import file_format, located_files
from kd.study.mistakes import keep, kept, number_kept

KEYS = ("corpus", "preset", *STAGE_FIELDS)
CORPUS_KEYS = ("files", "hub", *CORPUS_FIELDS)
_ENDINGS = {"text": (".txt",), "jsonl": (".jsonl", ".ndjson"), "parquet": (".parquet", ".pq")}
_OF_HUB, _OF_FILES = ("config", "revision", "split"), ("format",)


@dataclass(frozen=True, eq=False)
class StageKeys:
    """One stage as the study has it: its corpus, and `values`, the defaults filled in."""

    name: str
    corpus: Corpus
    values: dict[str, Any]


def stages_of(value: Any, study: Path) -> dict[str, StageKeys]:
    """The key `stages`, checked.

    Raises:
        UserError: the key, what was found, what is allowed.
    """
    stages = {}
    for name, keys in mapping_of(value, "stages").items():
        with kept():
            if not isinstance(name, str) or not re.fullmatch(NAME, name):
                raise UserError(f"stages: found {shown(name)}, allowed: names of a-z, 0-9, - and _")
            stage = _stage(name, mapping_of(keys, f"stages.{name}"), study)
            if stage:
                stages[name] = stage
    return stages


def _preset_stage(name: Any, where: str) -> dict[str, Any]:
    """The keys of a preset's stage, as written."""
    if name not in (known := stage_presets()):
        raise unknown(f"{where}.preset", name, known)
    return dict(read_preset(name)["stage"])


def _stage(name: str, keys: dict[str, Any], study: Path) -> StageKeys | None:
    """A stage; None where mistakes of its keys were kept."""
    where, keys, before = f"stages.{name}", dict(keys), number_kept()
    for key in [key for key in keys if key not in KEYS]:
        keep(unknown(f"{where}: key", key, KEYS))
    if number_kept() > before:  # what is missing may be there, mistyped
        return None
    keys = {**_preset_stage(keys.pop("preset"), where), **keys} if "preset" in keys else keys
    for key in ("corpus", "teacher", "knowledge"):
        if key not in keys:
            text = "missing; a stage needs corpus, teacher and knowledge"
            keep(UserError(f"{where}.{key}: {text}"))
    if ("steps" in keys) == ("tokens" in keys):
        text = "found both or none of steps and tokens, allowed: one of them"
        keep(UserError(f"{where}: {text}"))
    corpus = None
    if "corpus" in keys:
        with kept():
            corpus = _corpus(keys["corpus"], f"{where}.corpus", study)
    given = values_of({k: v for k, v in keys.items() if k != "corpus"}, where, STAGE_FIELDS)
    if number_kept() > before or corpus is None:
        return None
    values = {**STAGE_DEFAULTS, **given}
    if "tokens" in values:
        a_step = values["batch_size"] * values["max_length"]
        values["steps"] = math.ceil(values.pop("tokens") / a_step)
    if not parse_knowledge(values["knowledge"]) and as_weight(values[MLM]).peak == 0:
        raise UserError(f"{where}.knowledge: found none, and {MLM} is 0: there is nothing to learn")
    if reads_words(values) and values["masked"] == 0:
        raise UserError(f"{where}.masked: found 0, but its losses are of masked tokens")
    return StageKeys(name, corpus, values)


def reads_words(values: dict[str, Any]) -> bool:
    """Whether a stage has a loss of what the student says of the masked tokens."""
    terms = parse_knowledge(values["knowledge"])
    return as_weight(values[MLM]).peak > 0 or any(t.knowledge == "mlm-logits" for t in terms)


def _corpus(value: Any, where: str, study: Path) -> Corpus:
    keys = dict(mapping_of(value, where))
    for key in keys:
        if key not in CORPUS_KEYS:
            raise unknown(f"{where}: key", key, CORPUS_KEYS)
    if ("files" in keys) == ("hub" in keys):
        raise UserError(f"{where}: found both or none of files and hub, allowed: one of them")
    hub = "hub" in keys
    for key in _OF_FILES if hub else _OF_HUB:
        if key in keys:
            kind = "files" if hub else "a dataset of the hub (key hub)"
            raise UserError(f"{where}.{key}: it is for {kind} alone")
    patterns, name = keys.pop("files", []), keys.pop("hub", "")
    given = values_of(keys, where, CORPUS_FIELDS)
    column, held_out = (given.get(k, CORPUS_DEFAULTS[k]) for k in ("column", "held_out"))
    if hub:
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"{where}.hub: found {shown(name)}, allowed: the id of a dataset")
        if not re.fullmatch("[0-9a-f]{40}", given.get("revision", "")):
            raise UserError(
                f"{where}.revision: found {shown(given.get('revision'))}, allowed: a commit of 40 "
                f"hex digits, since a branch may change"
            )
        split = given.get("split", CORPUS_DEFAULTS["split"])
        config, revision = given.get("config", ""), given["revision"]
        return Corpus((), column, held_out, name.strip(), config, revision, split)
    files = _files(patterns, f"{where}.files", study, given.get("format", ""))
    if "column" in given and all(kind == "text" for _, kind in files):
        raise UserError(f"{where}.column: it would change nothing: text files have no columns")
    return Corpus(files, column, held_out)


def _files(value: Any, where: str, study: Path, kind: str) -> tuple[tuple[str, str], ...]:
    """(absolute path, format) of the files that the patterns name, each once."""
    places = located_files(value, where, study)
    return tuple((file, kind or file_format(file, at, _ENDINGS)) for file, at in places.items())
