"""Every source of every table is in citations.bib, and every work there is some source."""

import re

import pytest

from kd.axes.architectures import ARCHS
from kd.axes.citations import (
    ARCH_SOURCES,
    ASSISTANTS,
    FILE,
    GLUE,
    MODEL_SOURCES,
    TASK_SOURCES,
    bibtex,
    citations,
    cited_in,
)
from kd.axes.errata import ERRATA, PROBABILITY_SHIFT_SOURCE, TEMPERATURE_SCHEDULES
from kd.axes.extra import AUGMENTATIONS
from kd.axes.initialisations import INIT_FORMS, INITIALISATIONS
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS
from kd.axes.matchings import MATCHINGS
from kd.axes.presets import preset_names, read_preset
from kd.axes.pretrained import HUB_ENCODERS
from kd.axes.projections import PROJECTIONS
from kd.axes.sections import sections
from kd.axes.shapes import NAMED
from kd.axes.tasks import TASKS
from kd.axes.weights import BALANCED_SOURCE, RAMP_SOURCE, WINDOW_SOURCE

SOURCES = sorted(
    {
        *(row.source for row in KNOWLEDGE.values()),
        *(row.source for table in MATCHINGS.values() for row in table.values() if row.source),
        *(row.source for row in MAPPINGS.values()),
        *(row.source for row in PROJECTIONS.values() if row.source),
        *(row.source for row in INITIALISATIONS.values()),
        *(source for _, source in INIT_FORMS.values()),
        *(row.source for row in NAMED.values()),
        *(row.source for row in ERRATA.values()),
        *(row.source for row in AUGMENTATIONS.values()),
        *(read_preset(name)["source"] for name in preset_names()),
        *(text for text in TEMPERATURE_SCHEDULES.values() if "arXiv" in text),
        *(PROBABILITY_SHIFT_SOURCE, BALANCED_SOURCE, RAMP_SOURCE, WINDOW_SOURCE, GLUE, ASSISTANTS),
        *TASK_SOURCES.values(),
        *MODEL_SOURCES.values(),
        *ARCH_SOURCES.values(),
    }
)
_AUTHORS = re.compile(r"([A-Z][\w ]*?)(?: et al\.| and ([A-Z]\w+)),?(?: [A-Z]+)? (\d{4})")
_METHOD = re.compile(r"(?<![\w-])[A-Z][A-Za-z0-9]*[A-Z][\w-]*|(?<!\w)torch[a-z]+")


@pytest.mark.parametrize("source", SOURCES)
def test_every_work_that_a_source_names_is_there(source):
    works = cited_in(source)
    assert works, source
    for number in re.findall(r"\d{4}\.\d{4,5}", source):
        assert number in {work["eprint"] for work in works}
    for first, second, year in _AUTHORS.findall(source):
        named = [w for w in works if w["author"].startswith(f"{first},") and w["year"] == year]
        assert named, f"{first} {year} is not among {[work.key for work in works]}"
        assert not second or any(f" and {second}," in work["author"] for work in named)


@pytest.mark.parametrize("source", [row.source for row in ERRATA.values()])
def test_every_name_without_a_number_is_there(source):
    """Errata name methods and libraries alone: as many works as names."""
    names = [name for name in _METHOD.findall(source) if name != "GLUE"]
    known = {name for work in cited_in(source) for name in work.names}
    assert names and set(names) == known & set(names), source
    assert len(cited_in(source)) == len(set(names))


def test_no_work_is_there_for_nothing():
    used = {work for source in SOURCES for work in cited_in(source)}
    assert used == set(citations().values())


def test_every_source_on_the_page_of_axes_is_checked_here():
    """A table that is new on the page must be in SOURCES."""
    for section in sections():
        for column in ("source", "where it is found"):
            if column in section.columns:
                place = section.columns.index(column)
                assert {row[place] for row in section.rows} - {""} <= set(SOURCES), section.name


def test_the_file_is_read_whole():
    """What is read, written again, is the file but for its comments: nothing was passed over."""
    text = FILE.read_text()
    assert bibtex(citations().values()) == "".join(
        line for line in text.splitlines(keepends=True) if not line.startswith("%")
    ).removeprefix("\n")
    assert len(citations()) == text.count("\n@") + text.startswith("@")


@pytest.mark.parametrize("work", citations().values(), ids=lambda work: work.key)
def test_entries_are_valid_bibtex(work):
    assert work["author"] and work["title"] and re.fullmatch(r"\d{4}", work["year"])
    assert re.fullmatch(r"[a-z]+\d{4}[a-z0-9]+", work.key) and work["year"] in work.key
    venue = {"inproceedings": "booktitle", "article": "journal"}.get(work.kind)
    assert work.kind == "misc" or work[venue]
    assert bool(work["eprint"]) == (work["archiveprefix"] == "arXiv")
    assert work["eprint"] or work.names, "no source can name it"
    for name, value in work.fields:
        depth = 0
        for sign in value.replace(r"\{", "").replace(r"\}", ""):
            depth += (sign == "{") - (sign == "}")
            assert depth >= 0, name
        assert depth == 0 and "%" not in value and "&" not in value, name
    for author in work["author"].split(" and "):
        assert author.count(",") == 1, f"{author} is not written Family, Given"


def test_tasks_and_encoders_have_their_works():
    assert set(TASK_SOURCES) == {name for name, row in TASKS.items() if not row.synthetic}
    assert set(ARCH_SOURCES) == set(ARCHS)
    for model in HUB_ENCODERS:
        assert sum(model.startswith(start) for start in MODEL_SOURCES) == 1, model


def test_a_name_within_a_longer_one_is_not_that_work():
    assert [work.key for work in cited_in("MiniLMv2, TinyBERT-like, CKD")] == [
        "jiao2020tinybert",
        "park2021distilling",
    ]
