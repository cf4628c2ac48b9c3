"""The page of all axes is made from the tables, and leaves out nothing that a study may write."""

from pathlib import Path

import pytest
import torch
from studies import tiny_study, write_study

from kd.axes import when
from kd.axes.errata import ERRATA, TEMPERATURE_SCHEDULES
from kd.axes.fields import RUN_FIELDS
from kd.axes.initialisations import INIT_FORMS, INITIALISATIONS
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS, resolve_mapping
from kd.axes.matchings import MATCHINGS
from kd.axes.page import chosen, markdown, plain
from kd.axes.presets import preset_names
from kd.axes.projections import PROJECTIONS
from kd.axes.section import WHEN
from kd.axes.sections import sections
from kd.axes.shapes import NAMED
from kd.axes.tasks import TASKS
from kd.cli.main import main
from kd.losses import logits
from kd.losses.table import TEMPERATURES
from kd.study.grid import load_grid

PAGE = Path(__file__).parents[2] / "docs/axes.md"
VALUES = {
    "knowledge": KNOWLEDGE,
    "matching": {name for table in MATCHINGS.values() for name in table},
    "mapping": MAPPINGS,
    "projection": PROJECTIONS,
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


def test_every_row_says_when_to_take_it_and_no_row_is_gone():
    """A value without a sentence in kd/axes/when.py, or a sentence without a value."""
    assert set(when.KNOWLEDGE) == set(KNOWLEDGE)
    assert set(when.MAPPING) == set(MAPPINGS)
    assert set(when.PROJECTION) == set(PROJECTIONS)
    assert set(when.INIT) == {*INITIALISATIONS, *INIT_FORMS}
    assert set(when.MATCHING) == set(MATCHINGS)
    for form, rows in MATCHINGS.items():
        assert set(rows) <= set(when.MATCHING[form]), form
    known = {name for table in MATCHINGS.values() for name in table}
    assert {name for table in when.MATCHING.values() for name in table} == known
    for name in ("knowledge", "matching", "projection", "mapping", "init"):
        (section,) = chosen(name)
        place = section.columns.index(WHEN)
        assert all(row[place] for row in section.rows), name


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


@pytest.mark.parametrize("name", [name for name in MAPPINGS if name.endswith("-K")])
def test_what_a_number_of_a_mapping_means_is_as_the_page_says(tmp_path, name):
    """K = 9 of 3 teacher and 2 student layers."""
    study = tiny_study(axes={"mapping": ["uniform", name.replace("-K", "-9")]})
    grid = load_grid(write_study(tmp_path, study))
    text = " ".join(markdown(sections()).split())
    if name in ("all-to-K", "last-to-K"):
        assert len(grid.pruned) == 1, f"{name} with K above T"
        assert "`last-to-K`, K is a teacher layer; a cell with K above T is pruned" in text
    else:
        assert not grid.pruned
        pairs = [resolve_mapping(name.replace("-K", f"-{k}"), 3, 2, 1) for k in (2, 9)]
        assert pairs[0] == pairs[1]
        if name == "below-last-K":
            assert pairs[0] == ((1, 1),)
            assert "if S - K or T - K is below 1, layer 1 is taken" in text
        else:
            assert "In the others K is a number of layers, and above S it means all layers" in text


def test_the_floor_of_the_temperature_schedules_is_on_the_page():
    """0.1 of the page is the code's: two examples, one far from the other."""
    student = torch.tensor([[30.0, -30.0], [0.0, 0.0]])
    for name in ("flsw", "cwsm"):
        assert f"| `{name}` | max(0.1 tau, tau + mean(w) - w), " in markdown(sections())
        found = TEMPERATURES[name](student, -student, 0.05)
        assert found.min().item() == pytest.approx(0.1 * 0.05)


def test_the_divisor_of_logit_std_is_on_the_page():
    assert "sd 1 per example; the sd divides by C |" in markdown(sections())
    s, t = torch.tensor([[1.0, 2.0, 6.0]]), torch.tensor([[3.0, -1.0, 0.0]])
    by_c = [(x - x.mean()) / x.std(correction=0) for x in (s, t)]
    wanted = logits.logits_kl(*by_c, 2.0)
    assert logits.logits_std(s, t, 2.0).item() == pytest.approx(wanted.item(), rel=1e-5)
