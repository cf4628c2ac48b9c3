"""Mappings are total: every T and S, in range, in order of the student's layers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kd.axes.mappings import (
    MAPPINGS,
    moves,
    parse_mapping,
    resolve_mapping,
)
from kd.runtime.errors import UserError

layers, seeds = st.integers(1, 24), st.integers(0, 3)
few = settings(max_examples=40, deadline=None)
BEYOND = ("all-to-K", "last-to-K")  # K is a layer of the teacher: beyond T the grid prunes
SKIP_LAST = ("pkd-skip", "pkd-last")


# --- all of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAPPINGS)
@few
@given(teacher=layers, student=layers, k=layers, seed=seeds)
def test_total(name, teacher, student, k, seed):
    text = name.replace("K", str(k))
    assert parse_mapping(text) == text, "a row of the table cannot be written in a study"
    pairs = resolve_mapping(text, teacher, student, seed)
    assert pairs or (name in SKIP_LAST and student == 1)
    highest = k if name in BEYOND else teacher
    assert all(1 <= t <= highest and 1 <= s <= student for t, s in pairs)
    assert len(set(pairs)) == len(pairs), "a pair counts twice"
    students = [s for _, s in pairs]
    assert students == sorted(students), "student layers are not in order"
    assert pairs == resolve_mapping(text, teacher, student, seed)


@pytest.mark.parametrize("name", ["uniform", "first", "last", "reverse", "all-to-one", "random"])
@few
@given(teacher=layers, student=layers)
def test_every_student_layer_has_one_teacher_layer(name, teacher, student):
    pairs = resolve_mapping(name, teacher, student, 0)
    assert [s for _, s in pairs] == list(range(1, student + 1))


@pytest.mark.parametrize("name", ["emd", "attention-weighted", "random-in-block", "progressive"])
@few
@given(teacher=layers, student=layers)
def test_moving_mappings_leave_no_student_layer_out(name, teacher, student):
    pairs = resolve_mapping(name, teacher, student, 0)
    assert {s for _, s in pairs} == set(range(1, student + 1))
    if name in ("emd", "attention-weighted"):
        assert len(pairs) == teacher * student


@pytest.mark.parametrize("name", ["uniform", "first", "last", "pkd-skip", "pkd-last"])
@few
@given(teacher=layers, student=layers)
def test_the_order_of_layers_is_kept(name, teacher, student):
    targets = [t for t, _ in resolve_mapping(name, teacher, student, 0)]
    assert targets == sorted(targets)


@few
@given(depth=layers)
def test_between_equals_layer_s_learns_layer_s(depth):
    """A student as deep as its teacher: all the ordered mappings are one."""
    plain = resolve_mapping("first", depth, depth, 0)
    for name in ("last", "uniform", "random-in-block", "random-per-epoch", "progressive"):
        assert resolve_mapping(name, depth, depth, 0) == plain, name


# --- the well-known ones ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "teacher", "student", "targets"),
    [
        ("uniform", 12, 6, [2, 4, 6, 8, 10, 12]),
        ("uniform", 12, 5, [3, 5, 8, 10, 12]),
        ("uniform", 12, 8, [2, 3, 5, 6, 8, 9, 11, 12]),
        ("uniform", 24, 10, [3, 5, 8, 10, 12, 15, 17, 20, 22, 24]),
        ("uniform", 2, 4, [1, 1, 2, 2]),
        ("first", 12, 3, [1, 2, 3]),
        ("first", 2, 3, [1, 2, 2]),
        ("last", 12, 3, [10, 11, 12]),
        ("last", 2, 3, [1, 1, 2]),
        ("reverse", 12, 3, [12, 8, 4]),
        ("all-to-one", 12, 3, [12, 12, 12]),
        ("pkd-skip", 12, 6, [2, 4, 6, 8, 10]),
        ("pkd-skip", 12, 3, [4, 8]),
        ("pkd-last", 12, 6, [7, 8, 9, 10, 11]),
        ("first-2", 12, 6, [1, 2]),
        ("first-9", 12, 3, [1, 2, 3]),
        ("all-to-5", 12, 3, [5, 5, 5]),
        ("progressive", 12, 3, [4, 8, 12]),
    ],
)
def test_values(name, teacher, student, targets):
    pairs = resolve_mapping(name, teacher, student, seed=0)
    assert pairs == tuple((t, s) for s, t in enumerate(targets, start=1))


@pytest.mark.parametrize(
    ("name", "teacher", "student", "pairs"),
    [
        ("last-only", 12, 3, [(12, 3)]),
        ("last-to-21", 24, 12, [(21, 12)]),
        ("below-last-2", 12, 6, [(10, 4)]),
        ("below-last-2", 24, 3, [(22, 1)]),
        ("below-last-2", 12, 1, [(10, 1)]),
        ("below-last-5", 4, 12, [(1, 7)]),
        ("below-last-9", 4, 3, [(1, 1)]),
        ("last-2", 12, 6, [(11, 5), (12, 6)]),
        ("last-9", 12, 3, [(10, 1), (11, 2), (12, 3)]),
        ("both-ends", 12, 6, [(1, 1), (12, 6)]),
        ("both-ends", 12, 1, [(1, 1), (12, 1)]),
        ("both-ends-2", 12, 6, [(1, 1), (2, 2), (11, 5), (12, 6)]),
        ("both-ends-2", 12, 3, [(1, 1), (2, 2), (11, 2), (12, 3)]),
        ("random-in-block", 6, 2, [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]),
        ("random-in-block", 5, 3, [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]),
        ("random-in-block", 2, 4, [(1, 1), (1, 2), (2, 3), (2, 4)]),
        ("random-per-epoch", 4, 3, [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (4, 3)]),
    ],
)
def test_pairs(name, teacher, student, pairs):
    assert resolve_mapping(name, teacher, student, seed=0) == tuple(pairs)


def test_random_is_a_permutation_of_uniform_that_follows_the_seed():
    drawn = {resolve_mapping("random", 12, 6, seed) for seed in range(20)}
    assert len(drawn) > 10
    assert {tuple(sorted(t for t, _ in pairs)) for pairs in drawn} == {(2, 4, 6, 8, 10, 12)}


# --- whether they move --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, row in MAPPINGS.items() if not row.moving])
@few
@given(teacher=layers, student=layers)
def test_a_fixed_mapping_never_moves(name, teacher, student):
    text = name.replace("K", "2")
    assert not moves(text, resolve_mapping(text, teacher, student, 0))


@pytest.mark.parametrize(
    ("name", "teacher", "student", "moving"),
    [
        ("emd", 1, 1, False),
        ("emd", 3, 1, True),
        ("emd", 1, 3, True),
        ("attention-weighted", 1, 3, False),
        ("attention-weighted", 3, 1, True),
        ("random-in-block", 4, 4, False),
        ("random-in-block", 4, 6, False),
        ("random-per-epoch", 4, 4, False),
        ("random-per-epoch", 1, 4, False),
        ("random-per-epoch", 4, 6, True),
        ("progressive", 4, 1, False),
        ("progressive", 4, 4, True),
    ],
)
def test_no_choice_is_no_movement(name, teacher, student, moving):
    assert moves(name, resolve_mapping(name, teacher, student, 0)) is moving


def test_explicit_pairs_never_move():
    assert not moves("1-1,2-1", ((1, 1), (2, 1)))


# --- how they are written -----------------------------------------------------------------------


def test_explicit_pairs():
    assert parse_mapping([[8, 2], [4, 1], [8, 2]]) == "4-1,8-2"
    assert parse_mapping("8-2, 4-1") == "4-1,8-2"
    assert resolve_mapping("4-1,8-2", 12, 6, 0) == ((4, 1), (8, 2))


@pytest.mark.parametrize(
    "bad",
    [
        *("unifrom", "4:1", [], [[1]], [["a", 1]], [[1, -1]], 3, None, ""),
        *("first-K", "first-0", "first-02", "uniform-2", "last-to-", "all-to--1", "emd-1000"),
    ],
)
def test_what_is_no_mapping(bad):
    with pytest.raises(UserError, match="allowed"):
        parse_mapping(bad)


@pytest.mark.parametrize(("bad", "near"), [("unifrom", "uniform"), ("progresive", "progressive")])
def test_the_nearest_mapping_is_named(bad, near):
    with pytest.raises(UserError, match=f"did you mean {near}"):
        parse_mapping(bad)
