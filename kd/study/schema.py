"""The JSON schema of a study file for editors, made from the tables of fields."""

from dataclasses import replace
from typing import Any

from kd.axes.equal_size import ISO, MEASURES
from kd.axes.fields import DATA_FIELDS, RUN_FIELDS, TEACHER_FIELDS
from kd.axes.figures import MORE, PATTERN, PLAIN
from kd.axes.metrics import METRICS
from kd.axes.presets import stage_presets
from kd.axes.stages import CORPUS_FIELDS, STAGE_FIELDS
from kd.axes.values import Field
from kd.study.check import DESIGNS, KEYS, MARGIN, NAME
from kd.study.keys import EPOCH, STORE_GIGABYTES
from kd.study.label_keys import LABEL_KEYS
from kd.study.select_keys import FIXED, SHARE, TEACHER_KEYS
from kd.study.task_keys import FORMATS, SPLIT
from kd.study.task_keys import KEYS as TASK_KEYS

_TEXT = {"type": "string", "minLength": 1}


def _keys(fields: dict[str, Field], **extra: Any) -> dict[str, Any]:
    properties = {k: {**f.schema, "description": f.meaning} for k, f in fields.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False, **extra}


def _iso() -> dict[str, Any]:
    """The schema of an axis of students of equal size."""
    shape = RUN_FIELDS["student"].schema
    references = {
        key: {**shape, "description": f"shape to equal in {MEASURES[name].meaning}"}
        for key, name in ISO.items()
    }
    layers = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1}
    return {
        "type": "object",
        "properties": {
            **references,
            "layers": {**layers, "uniqueItems": True, "description": "the students' depths"},
        },
        "oneOf": [{"required": [key, "layers"]} for key in references],
        "additionalProperties": False,
    }


def _task() -> dict[str, Any]:
    """The schema of a user's own task."""
    column = {"type": ["string", "integer"], "minimum": 0}
    names = {"type": "object", "additionalProperties": {"type": "string"}, "required": ["dev"]}
    share = {
        "type": "object",
        "properties": {
            "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.9},
            "seed": {"type": "integer", "minimum": 0},
        },
        "required": ["share"],
        "additionalProperties": False,
    }
    label = {"type": ["string", "integer", "boolean"]}
    labels = {"type": "array", "items": label, "minItems": 2, "uniqueItems": True}
    flags = {"type": "array", "items": column, "minItems": 2, "uniqueItems": True}
    in_sets: dict[str, dict[str, Any]] = {
        "from": {"anyOf": [column, flags]},
        "multi": {"type": "boolean"},
        "names": labels,
        "separator": {"type": "string", "minLength": 1},
    }
    sets = {
        "type": "object",
        "properties": {
            name: {**in_sets[name], "description": text} for name, text in LABEL_KEYS.items()
        },
        "required": ["from"],
        "additionalProperties": False,
    }
    several = {"type": "array", "items": column, "minItems": 1, "maxItems": 2}
    kinds: dict[str, dict[str, Any]] = {
        "dev": {"anyOf": [{"type": "string"}, share, names]},
        "text": {"anyOf": [column, several]},
        "label": column,
        "labels": {"anyOf": [labels, sets]},
        "regression": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        "metrics": {
            "type": "array",
            "items": _TEXT,
            "minItems": 1,
            "uniqueItems": True,
        },
        "format": {"enum": list(FORMATS)},
        "header": {"type": "boolean"},
        "quotes": {"type": "boolean"},
        "revision": {"type": "string", "pattern": "^[0-9a-f]{40}$"},
        "splits": {**names, "required": ["train", "dev"]},
    }
    return {
        "type": "object",
        "properties": {
            key: {**kinds.get(key, {"type": "string"}), "description": meaning}
            for key, meaning in TASK_KEYS.items()
        },
        "oneOf": [
            {"required": ["train", "dev", "text", "label"]},
            {"required": ["hub", "revision", "splits", "text", "label"]},
        ],
        "additionalProperties": False,
    }


def _select() -> dict[str, Any]:
    """The schema of the key `select`."""
    axes = [key for key in RUN_FIELDS if key not in FIXED]
    recipe = {
        key: {"type": "array", "items": TEACHER_FIELDS[key].schema, "minItems": 2}
        for key in TEACHER_KEYS
    }
    return {
        "type": "object",
        "properties": {
            "axes": {
                "type": "array",
                "items": {"enum": axes},
                "uniqueItems": True,
                "description": "axes of the study; each cell is shown at their best values",
            },
            "teachers": {
                "type": "object",
                "properties": recipe,
                "additionalProperties": False,
                "description": "values of the teachers' recipe; the best teacher is taken",
            },
            "share": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 0.9,
                "description": f"of the training examples that is held out ({SHARE})",
            },
            "seed": {"type": "integer", "minimum": 0, "description": "of the slice (0)"},
        },
        "additionalProperties": False,
        "minProperties": 1,
        "description": "what is tuned on a held-out slice of the training split, never on dev",
    }


def _known_names() -> dict[str, Any]:
    """The names of the package alone, where a study may have others by its plugins."""
    matching = RUN_FIELDS["matching"].schema
    either = {"anyOf": [matching, {"type": "array", "items": matching}]}
    figures = [{"enum": [*PLAIN, *(MORE + name for name in PLAIN)]}, {"pattern": PATTERN}]
    metrics = [name for name, row in METRICS.items() if not row.function]

    def runs(schema: dict[str, Any]) -> dict[str, Any]:
        return {"properties": {"matching": schema}}

    return {
        "base": runs(matching),
        "axes": runs({"items": matching}),
        "include": {"items": runs(matching)},
        "exclude": {"items": runs(either)},
        "tasks": {
            "additionalProperties": {"properties": {"metrics": {"items": {"enum": metrics}}}}
        },
        "figures": {"items": {"anyOf": figures}},
    }


def _stage() -> dict[str, Any]:
    """Of a stage before the task."""
    file = {"type": "string", "minLength": 1}
    corpus = _keys(CORPUS_FIELDS)
    corpus["properties"] |= {
        "files": {
            "anyOf": [file, {"type": "array", "items": file, "minItems": 1}],
            "description": "files of text, from the study file's folder; * stands for any names",
        },
        "hub": {**file, "description": "id of a dataset on the hub, in place of files"},
    }
    corpus["oneOf"] = [{"required": ["files"]}, {"required": ["hub", "revision"]}]
    stage = _keys(STAGE_FIELDS, required=["corpus", "teacher"])
    stage["anyOf"] = [{"required": ["knowledge"]}, {"required": ["preset"]}]
    stage["properties"] |= {
        "corpus": {**corpus, "description": "unlabelled text"},
        "preset": {
            "enum": stage_presets(),
            "description": "a method, for its keys",
        },
    }
    stage["oneOf"] = [{"required": ["steps"]}, {"required": ["tokens"]}]
    return stage


def study_schema() -> dict[str, Any]:
    """The whole schema. A test keeps `workflow/schemas/study.schema.json` equal to it."""
    fields = {**RUN_FIELDS, "matching": replace(RUN_FIELDS["matching"], schema=_TEXT)}
    run = _keys(fields)
    names = {"pattern": f"^{NAME}$"}
    data = [
        {
            "type": "object",
            "properties": {
                "source": {"const": source},
                **{k: {**f.schema, "description": f.meaning} for k, f in fields.items()},
            },
            "additionalProperties": False,
            "required": [k for k in ("source", "path") if k == "source" or k in fields],
        }
        for source, fields in DATA_FIELDS.items()
    ]
    axes = {k: {"type": "array", "items": f.schema, "minItems": 1} for k, f in fields.items()}
    axes["student"] = {"anyOf": [axes["student"], _iso()]}
    several = {
        "type": "object",
        "properties": {
            k: {"anyOf": [f.schema, {"type": "array", "items": f.schema, "minItems": 1}]}
            for k, f in fields.items()
        },
        "additionalProperties": False,
        "minProperties": 1,
    }
    properties = {
        "study": {"type": "string", **names, "description": "name of the folder of the results"},
        "question": {"type": "string", "description": "the question, in a sentence"},
        "data": {"oneOf": data},
        "tasks": {
            "type": "object",
            "propertyNames": {"pattern": f"^{SPLIT}$"},
            "additionalProperties": _task(),
            "minProperties": 1,
            "description": "tasks of your own",
        },
        "teachers": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": _keys(TEACHER_FIELDS, required=["model"]),
            "minProperties": 1,
        },
        "stages": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": _stage(),
            "description": "general distillation before the task: init stage:NAME starts from it",
        },
        "plugins": {
            "type": "array",
            "items": {"type": "string", "pattern": r"\.py$"},
            "uniqueItems": True,
            "description": "Python files with losses, mappings and the like of your own",
        },
        "base": {**run, "description": "the run that the axes vary"},
        "axes": {
            "type": "object",
            "properties": axes,
            "additionalProperties": False,
            "minProperties": 1,
        },
        "design": {"enum": list(DESIGNS)},
        "exclude": {"type": "array", "items": several, "description": "cells to leave out"},
        "include": {
            "type": "array",
            "items": {**run, "minProperties": 1},
            "description": "more cells, over base, crossed with task, seed, student and teacher",
        },
        "store": {
            "anyOf": [
                {"const": False},
                {
                    "type": "object",
                    "properties": {"gigabytes": {"type": "number", "minimum": 0}},
                    "additionalProperties": False,
                },
            ],
            "description": f"disk for large teacher outputs ({STORE_GIGABYTES} GB), or false",
        },
        "figures": {
            "type": "array",
            "items": _TEXT,
            "uniqueItems": True,
            "description": "which figures to draw; without it, those that the axes are made for; "
            "names with a + before them are added to those",
        },
        "margin": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 100,
            "description": f"points within which two values are equal in the guideline ({MARGIN})",
        },
    }
    properties["evaluate_every"] = {
        "anyOf": [{"const": EPOCH}, {"type": "integer", "minimum": 1}],
        "description": "adds dev scores to the history of each training: every epoch, or every N "
        "steps; nothing is selected by them, and ids stay as they are",
    }
    properties["select"] = _select()
    assert set(properties) == set(KEYS)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study: a base run, the axes that vary it, and what they need",
        "type": "object",
        "properties": properties,
        "required": ["study", "teachers", "axes"],
        # A plugin adds names to those that are known here.
        "if": {"not": {"required": ["plugins"]}},
        "then": {"properties": _known_names()},
        "additionalProperties": False,
    }
