"""How initialisations are written, which layers they copy, what prunes them and what they are."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import study_dict, write_study

from kd.axes.initialisations import (
    INIT_FORMS,
    INITIALISATIONS,
    copied_layers,
    needs_teacher,
    pairs_text,
    parse_init,
)
from kd.axes.shapes import parse_shape
from kd.encoders.facts import Encoder, encoder
from kd.runtime.errors import Pruned, UserError
from kd.study.grid import load_grid
from kd.study.initialisation import check_init, init_identity

BERT = encoder("google-bert/bert-base-uncased", "main", None, "bert")
ALBERT = Encoder("scratch", None, "albert", BERT.shape, None, 510, ())


@pytest.fixture
def grid(tmp_path):
    return lambda **changes: load_grid(write_study(tmp_path, study_dict(**changes)))


def identity(init, student, teacher=BERT):
    return init_identity(parse_init(init), parse_shape(student), teacher)


# --- which layers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "layers"),
    [
        (6, [0, 2, 4, 7, 9, 11]),  # the list of DistilBERT's extraction script, from 0
        (12, list(range(12))),
        (2, [0, 11]),
        (1, [0]),
        (3, [0, 6, 11]),
    ],
)
def test_distilberts_layers(student, layers):
    pairs = copied_layers("teacher-distilbert", 12, student)
    assert pairs == tuple((t + 1, s) for s, t in enumerate(layers, start=1))


@given(
    st.sampled_from([n for n, row in INITIALISATIONS.items() if row.layers]),
    st.integers(1, 48),
    st.data(),
)
def test_every_scheme_starts_every_layer_with_one_of_the_teachers_in_order(name, teacher, data):
    student = data.draw(st.integers(1, teacher))
    pairs = copied_layers(name, teacher, student)
    assert [s for _, s in pairs] == list(range(1, student + 1))
    chosen = [t for t, _ in pairs]
    assert chosen == sorted(set(chosen)) and chosen[0] >= 1 and chosen[-1] <= teacher
    assert copied_layers(pairs_text(pairs), teacher, student) == pairs
    assert parse_init(pairs_text(pairs)) == pairs_text(pairs)


@given(st.integers(2, 48), st.data())
def test_distilbert_rounds_the_even_spacing(teacher, data):
    student = data.draw(st.integers(2, teacher))
    pairs = copied_layers("teacher-distilbert", teacher, student)
    assert (pairs[0][0], pairs[-1][0]) == (1, teacher)
    for t, s in pairs:
        assert abs(t - (1 + (s - 1) * (teacher - 1) / (student - 1))) <= 0.5 + 1e-9


# --- how they are written ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("teacher:3-1,7-2,11-3", "teacher:3-1,7-2,11-3"),
        ("teacher:11-3, 3-1, 7-2", "teacher:3-1,7-2,11-3"),
        ("teacher:5-1,5-2+truncate", "teacher:5-1,5-2+truncate"),
        (" pca-embeddings ", "pca-embeddings"),
        ("teacher-distilbert+truncate", "teacher-distilbert+truncate"),
        ("pretrained:some/model@abc", "pretrained:some/model@abc"),
    ],
)
def test_spellings(text, parsed):
    assert parse_init(text) == parsed == parse_init(parsed)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("teacher:3-1,7-1", "each student layer from 1 to the last once"),
        ("teacher:3-1,7-3", "each student layer from 1 to the last once"),
        ("teacher:0-1", "a teacher layer .from 1."),
        ("teacher:", "allowed: random, .*teacher:T-S"),
        ("teacher:first", "allowed: random"),
        ("7-2", "teacher:T-S"),
        ("random+truncate", "found 'random.truncate'"),
        ("pca-embeddings+truncate", "found 'pca-embeddings.truncate'"),
        ("pretrained:", "pretrained:MODEL"),
        ("teacher-destilbert", "did you mean teacher-distilbert"),
        (3, "found 3"),
    ],
)
def test_what_is_no_initialisation(bad, message):
    with pytest.raises(UserError, match=message) as error:
        parse_init(bad)
    assert "\n" not in str(error.value)


def test_every_row_has_a_meaning_and_a_source():
    rows = {n: (row.meaning, row.source) for n, row in INITIALISATIONS.items()} | INIT_FORMS
    for name, (meaning, source) in rows.items():
        assert meaning and re.search(r"arXiv:\d{4}\.\d{5}", source), name


def test_what_reads_the_teacher():
    reading = {name for name in INITIALISATIONS if needs_teacher(name)}
    assert set(INITIALISATIONS) - reading == {"random"}
    assert needs_teacher("teacher:1-1") and needs_teacher("teacher-first+truncate")
    assert not needs_teacher("pretrained:teacher-first")


# --- what they are ----------------------------------------------------------------------------


def test_ids_of_finished_runs_are_pinned(grid):
    """If this fails, users' finished results are no longer found."""
    found = grid(
        base={"task": "rte", "knowledge": "logits"},
        axes={
            "student": ["6L-768", "6L-384"],
            "init": [
                "random",
                "teacher-first",
                "teacher-last",
                "teacher-uniform",
                "teacher-uniform+truncate",
                "pretrained:google/bert_uncased_L-6_H-768_A-12",
            ],
        },
    )
    assert sorted(found.runs) == [
        "rte-6l-384-logits-3e8eaf4b9e",
        "rte-6l-384-logits-ccf0afeaf1",
        "rte-6l-768-logits-6d5db6cfac",
        "rte-6l-768-logits-80e16cd497",
        "rte-6l-768-logits-aa4eeffe33",
        "rte-6l-768-logits-df3d3ecb8e",
        "rte-6l-768-logits-e15dffda09",
    ]


def test_equal_layers_are_one_run(grid):
    found = grid(
        base={"task": "rte", "student": "2L-768"},
        axes={"init": ["teacher-distilbert", "teacher:12-2,1-1", "teacher:1-1,12-2+truncate"]},
    )
    (run,) = found.runs.values()
    assert run.spec["init"] == "teacher:1-1,12-2"
    assert run.labels["init"].startswith("teacher-distilbert = teacher:1-1,12-2")


def test_shared_layers_are_one_choice():
    inits = ("teacher-first", "teacher-last", "teacher-uniform+truncate", "teacher:9-1,2-2,5-3")
    assert len({identity(init, "3L-768") for init in inits}) == len(inits)
    assert len({identity(init, "3L-768", ALBERT) for init in inits}) == 1
    assert identity("teacher-first", "3L-768", ALBERT) != identity("random", "3L-768", ALBERT)


def test_shared_layers_start_a_deeper_student():
    deeper = parse_shape("24L-768")
    check_init("teacher-uniform", deeper, ALBERT)
    with pytest.raises(Pruned, match="has only 12"):
        check_init("teacher-uniform", deeper, BERT)


@pytest.mark.parametrize(
    ("student", "init", "reason"),
    [
        ("6L-768", "teacher:3-1,7-2", "starts 2 student layers, but the student has 6"),
        ("2L-768", "teacher:3-1,13-2", "copies teacher layer 13, but the teacher has only 12"),
        ("2L-384", "teacher:3-1,7-2", r"teacher:3-1,7-2\+truncate cuts narrower layers"),
        ("2L-1024", "pca-embeddings", r"hidden size \(1024\) is above the teacher's \(768\)"),
        ("13L-768", "teacher-distilbert", "has only 12"),
    ],
)
def test_what_has_no_meaning_is_pruned_with_its_reason(grid, student, init, reason):
    with pytest.raises(UserError, match=reason):
        grid(base={"task": "rte", "student": student}, axes={"init": [init]})


@pytest.mark.parametrize(
    ("model", "width"),
    [
        ("google/electra-small-discriminator", 128),
        ("google/electra-base-discriminator", None),
        ("google-bert/bert-base-uncased", None),
    ],
)
def test_embeddings_that_are_narrow_already_are_not_compressed(model, width):
    known = encoder(model, "main", None, "bert")
    if width is None:
        check_init("pca-embeddings", parse_shape("4L-128"), known)
    else:
        with pytest.raises(Pruned, match=f"nothing to compress: .* the width {width} in teacher"):
            check_init("pca-embeddings", parse_shape("4L-128"), known)


def test_a_local_encoder_says_how_wide_its_embeddings_are(tmp_path):
    local = Encoder(str(tmp_path), None, "electra", BERT.shape, None, 512, ())
    for text, fits in (('{"embedding_size": 768}', True), ('{"embedding_size": 64}', False)):
        (tmp_path / "config.json").write_text(text)
        if fits:
            check_init("pca-embeddings", parse_shape("4L-128"), local)
        else:
            with pytest.raises(Pruned, match="the width 64"):
                check_init("pca-embeddings", parse_shape("4L-128"), local)
