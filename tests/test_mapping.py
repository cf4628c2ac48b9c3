"""Mappings are total: every T and S, in range, in order of the student's layers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.errors import UserError
from kd.mapping import MAPPINGS, parse_mapping, resolve_mapping

layers = st.integers(1, 24)


@pytest.mark.parametrize("name", MAPPINGS)
@given(teacher=layers, student=layers, seed=st.integers(0, 3))
def test_total(name, teacher, student, seed):
    pairs = resolve_mapping(name, teacher, student, seed)
    assert pairs
    assert all(1 <= t <= teacher and 1 <= s <= student for t, s in pairs)
    assert [s for _, s in pairs] == sorted({s for _, s in pairs})
    assert pairs == resolve_mapping(name, teacher, student, seed)


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
    ],
)
def test_values(name, teacher, student, targets):
    pairs = resolve_mapping(name, teacher, student, seed=0)
    assert pairs == tuple((t, s) for s, t in enumerate(targets, start=1))


def test_last_only():
    assert resolve_mapping("last-only", 12, 3, 0) == ((12, 3),)


def test_random_is_a_permutation_of_uniform_that_follows_the_seed():
    drawn = {resolve_mapping("random", 12, 6, seed) for seed in range(20)}
    assert len(drawn) > 10
    assert {tuple(sorted(t for t, _ in pairs)) for pairs in drawn} == {(2, 4, 6, 8, 10, 12)}


def test_explicit_pairs():
    assert parse_mapping([[8, 2], [4, 1], [8, 2]]) == "4-1,8-2"
    assert parse_mapping("8-2, 4-1") == "4-1,8-2"
    assert resolve_mapping("4-1,8-2", 12, 6, 0) == ((4, 1), (8, 2))


@pytest.mark.parametrize("bad", ["unifrom", "4:1", [], [[1]], [["a", 1]], [[1, -1]], 3, None, ""])
def test_what_is_no_mapping(bad):
    with pytest.raises(UserError, match="allowed"):
        parse_mapping(bad)
