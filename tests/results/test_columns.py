"""What is documented is what is there: schemas, docs/columns.md, real records."""

import json
from pathlib import Path

import jsonschema
import pytest
from fake_runs import one_run

from kd.axes.fields import RUN_FIELDS
from kd.results.columns import COLUMNS, METRICS, columns_text, metrics_schema, numbers, runs_schema

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "made"), [("metrics", metrics_schema), ("runs", runs_schema)])
def test_schemas_are_those_of_the_table(name, made):
    path = ROOT / f"workflow/schemas/{name}.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == made(), (
        f"python -m kd schema {name} > {path.relative_to(ROOT)}"
    )


def test_docs_are_those_of_the_table():
    assert (ROOT / "docs/columns.md").read_text(encoding="utf-8") == columns_text()


def test_every_column_has_kind_and_meaning():
    assert set(RUN_FIELDS) < set(COLUMNS)
    for name, column in COLUMNS.items():
        assert column.kind in ("text", "number", "integer"), name
        assert len(column.meaning) > 5, name
    for end, unit in (("seconds", "s"), ("bytes", "B")):
        units = {METRICS[name].unit for name in METRICS if name.endswith(f"_{end}")}
        assert units == {unit}
    assert "score" in numbers() and "device" not in numbers()


def test_a_key_that_is_not_documented_is_refused():
    record = {"run": "r", "task": "rte", "student": "2L-64-2h-256",
              "objective": "none", "score": 0.5, "split": "dev"}  # fmt: skip
    jsonschema.validate(record, metrics_schema())
    with pytest.raises(jsonschema.ValidationError, match="unheard"):
        jsonschema.validate(record | {"unheard": 1}, metrics_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(record | {"score": "good"}, metrics_schema())


def test_the_fake_runs_of_the_tests_have_no_column_that_real_ones_lack():
    assert set(one_run({}, 0.5)) <= set(COLUMNS)


def test_the_shipped_record_has_these_columns():
    path = ROOT / "results/records/demo/runs.csv"
    header = path.read_text(encoding="utf-8").splitlines()[0].split(",")
    assert set(header) <= set(COLUMNS)
