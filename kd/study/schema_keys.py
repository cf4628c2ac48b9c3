"""The JSON schemas of the keys of a study file that have keys of their own."""

from dataclasses import replace
from typing import Any

from kd.axes.equal_size import ISO, MEASURES
from kd.axes.extra import TRANSFER_ENDINGS, TRANSFER_KEYS
from kd.axes.fields import RUN_FIELDS, TEACHER_FIELDS
from kd.axes.presets import stage_presets
from kd.axes.stages import CORPUS_FIELDS, STAGE_FIELDS
from kd.axes.values import Field
from kd.study.assistant_keys import ASSISTANT_FIELDS, RUN
from kd.study.label_keys import LABEL_KEYS
from kd.study.select_keys import FIXED, SHARE, TEACHER_KEYS
from kd.study.task_keys import FORMATS
from kd.study.task_keys import KEYS as TASK_KEYS

TEXT = {"type": "string", "minLength": 1}


def keys_schema(fields: dict[str, Field], **extra: Any) -> dict[str, Any]:
    """An object with these fields and no others."""
    properties = {k: {**f.schema, "description": f.meaning} for k, f in fields.items()}
    return {"type": "object", "properties": properties, "additionalProperties": False, **extra}


def teacher_schema() -> dict[str, Any]:
    """The schema of a teacher: a model with its recipe, or the run whose student it is."""
    free = {**ASSISTANT_FIELDS, "matching": replace(RUN_FIELDS["matching"], schema=TEXT)}
    run = keys_schema(
        free, minProperties=1, description="the run whose student this teacher is, over base"
    )
    teacher = keys_schema(TEACHER_FIELDS)
    teacher["properties"][RUN] = run
    alone = {"required": [RUN], "maxProperties": 1}
    return {**teacher, "oneOf": [{"required": ["model"], "not": {"required": [RUN]}}, alone]}


def iso_schema() -> dict[str, Any]:
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


def task_schema() -> dict[str, Any]:
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
    label = {"type": ["string", "integer"]}
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
            "items": TEXT,
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
            {"required": ["train", "dev", "text"]},
            {"required": ["hub", "revision", "splits", "text"]},
        ],
        "anyOf": [
            {"required": ["label"]},
            {"properties": {"labels": {"type": "object"}}, "required": ["labels"]},
        ],
        "additionalProperties": False,
    }


def select_schema() -> dict[str, Any]:
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


def transfer_schema() -> dict[str, Any]:
    """The schema of a transfer set."""
    column = {"type": ["string", "integer"], "minimum": 0}
    several = {"type": "array", "items": column, "minItems": 1, "maxItems": 2}
    kinds: dict[str, dict[str, Any]] = {
        "files": {"anyOf": [TEXT, {"type": "array", "items": TEXT, "minItems": 1}]},
        "text": {"anyOf": [column, several]},
        "format": {"enum": list(TRANSFER_ENDINGS)},
        "header": {"type": "boolean"},
    }
    return {
        "type": "object",
        "properties": {
            key: {**kinds[key], "description": meaning} for key, meaning in TRANSFER_KEYS.items()
        },
        "required": ["files"],
        "additionalProperties": False,
    }


def stage_schema() -> dict[str, Any]:
    """The schema of a stage before the task."""
    file = {"type": "string", "minLength": 1}
    corpus = keys_schema(CORPUS_FIELDS)
    corpus["properties"] |= {
        "files": {
            "anyOf": [file, {"type": "array", "items": file, "minItems": 1}],
            "description": "files of text, from the study file's folder; * stands for any names",
        },
        "hub": {**file, "description": "id of a dataset on the hub, in place of files"},
    }
    corpus["oneOf"] = [{"required": ["files"]}, {"required": ["hub", "revision"]}]
    stage = keys_schema(STAGE_FIELDS, required=["corpus", "teacher"])
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
