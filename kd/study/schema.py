"""The JSON schema of a study file for editors, made from the tables of fields."""

from dataclasses import replace
from typing import Any

from kd.axes.fields import DATA_FIELDS, RUN_FIELDS
from kd.axes.figures import MORE, PATTERN, PLAIN
from kd.axes.labels import NAME
from kd.axes.metrics import METRICS
from kd.study.check import KEYS, MARGIN
from kd.study.design_keys import design_schema
from kd.study.keys import EPOCH, STORE_GIGABYTES, STUDENTS
from kd.study.schema_keys import (
    TEXT,
    iso_schema,
    keys_schema,
    select_schema,
    stage_schema,
    task_schema,
    teacher_schema,
    transfer_schema,
)
from kd.study.task_keys import SPLIT


def _known_names() -> dict[str, Any]:
    """The names of the package alone, where a study may have others by its plugins."""
    matching = RUN_FIELDS["matching"].schema
    either = {"anyOf": [matching, {"type": "array", "items": matching}]}
    figures = [{"enum": [*PLAIN, *(MORE + name for name in PLAIN)]}, {"pattern": PATTERN}]
    metrics = [name for name, row in METRICS.items() if not row.function]

    def runs(schema: dict[str, Any]) -> dict[str, Any]:
        return {"properties": {"matching": schema}}

    return {
        "teachers": {"additionalProperties": {"properties": {"run": runs(matching)}}},
        "base": runs(matching),
        "axes": runs({"items": matching}),
        "include": {"items": runs(matching)},
        "exclude": {"items": runs(either)},
        "tasks": {
            "additionalProperties": {"properties": {"metrics": {"items": {"enum": metrics}}}}
        },
        "figures": {"items": {"anyOf": figures}},
    }


def study_schema() -> dict[str, Any]:
    """The whole schema. A test keeps `workflow/schemas/study.schema.json` equal to it."""
    fields = {**RUN_FIELDS, "matching": replace(RUN_FIELDS["matching"], schema=TEXT)}
    run = keys_schema(fields)
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
    axes["student"] = {"anyOf": [axes["student"], iso_schema()]}
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
            "additionalProperties": task_schema(),
            "minProperties": 1,
            "description": "tasks of your own",
        },
        "teachers": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": teacher_schema(),
            "minProperties": 1,
        },
        "stages": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": stage_schema(),
            "description": "general distillation before the task: init stage:NAME starts from it",
        },
        "transfer": {
            "type": "object",
            "propertyNames": names,
            "additionalProperties": transfer_schema(),
            "description": "texts without labels, which the teacher labels: runs name one",
        },
        "plugins": {
            "type": "array",
            "items": {"type": "string", "pattern": r"\.py$"},
            "uniqueItems": True,
            "description": "Python files with losses, mappings and the like of your own",
        },
        "base": {
            **run,
            "type": ["object", "null"],
            "description": "the run that the axes vary; empty: the defaults",
        },
        "axes": {
            "type": "object",
            "properties": axes,
            "additionalProperties": False,
            "minProperties": 1,
        },
        "design": design_schema(),
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
        "keep": {
            "type": "object",
            "properties": {"students": {"enum": list(STUDENTS)}},
            "additionalProperties": False,
            "description": "which students keep their weights when their runs are done (all); "
            "best: the best of each task",
        },
        "figures": {
            "type": "array",
            "items": TEXT,
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
    properties["looks"] = {
        "type": "array",
        "items": {"type": "integer", "minimum": 2},
        "minItems": 1,
        "uniqueItems": True,
        "description": "rising numbers of seeds at which the study is looked at, so that `kd next` "
        "can add seeds where answers are open; written before the runs",
    }
    properties["evaluate_every"] = {
        "anyOf": [{"const": EPOCH}, {"type": "integer", "minimum": 1}],
        "description": "adds dev scores to the history of each training: every epoch, or every N "
        "steps; nothing is selected by them, and ids stay as they are",
    }
    properties["select"] = select_schema()
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
