"""The page of all axes is made from the tables, and leaves out nothing that a study may write."""

from pathlib import Path

import pytest

from kd.axes import chosen, markdown, plain, sections
from kd.cli import main
from kd.fields import RUN_FIELDS
from kd.initialisation import INITIALISATIONS
from kd.knowledge import KNOWLEDGE
from kd.mapping import MAPPINGS
from kd.matching import MATCHINGS
from kd.presets import preset_names
from kd.shapes import NAMED
from kd.tasks import TASKS
from kd.variants import ERRATA, TEMPERATURE_SCHEDULES

PAGE = Path(__file__).parent.parent / "docs/axes.md"
VALUES = {
    "knowledge": KNOWLEDGE,
    "matching": {name for table in MATCHINGS.values() for name in table},
    "mapping": MAPPINGS,
    "errata": ERRATA,
    "temperature_schedule": TEMPERATURE_SCHEDULES,
    "preset": preset_names(),
    "student": NAMED,
    "task": TASKS,
    "settings": RUN_FIELDS,
}


def test_the_page_in_docs_is_what_the_tables_say():
    assert PAGE.read_text() == markdown(sections()) + "\n", "make it: kd axes --markdown"


@pytest.mark.parametrize("name", VALUES)
def test_every_value_has_a_row(name):
    (section,) = chosen(name)
    assert {row[0] for row in section.rows} == set(VALUES[name])


def test_every_row_says_something_in_every_form():
    for section in sections():
        for row in section.rows:
            assert len(row) == len(section.columns), f"{section.name}: {row[0]}"
            assert row[1], f"{section.name}: {row[0]} says nothing"
    assert set(INITIALISATIONS) <= {row[0] for row in chosen("init")[0].rows}


def test_a_bar_within_a_formula_does_not_end_a_cell():
    widths = {section.name: len(section.columns) for section in sections()}
    name = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            name = line.removeprefix("## ")
        elif line.startswith("|"):
            assert line.replace(r"\|", "").count("|") - 1 == widths[name], line


def test_kd_axes_prints_one_section_and_names_the_nearest(capsys):
    assert main(["axes", "mapping"]) == 0
    out = capsys.readouterr().out
    assert out.strip() == plain(chosen("mapping"))
    assert "random-in-block" in out and "logit-std" not in out
    assert main(["axes", "maping"]) == 2
    assert "did you mean mapping?" in capsys.readouterr().err
