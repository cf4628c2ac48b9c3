"""Mappings that choose among their pairs: what counts at a moment of the training."""

from collections import Counter
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kd.axes.mappings import MAPPINGS, blocks, moves, resolve_mapping
from kd.losses.moving import CHOICES, Moment, active_pairs

layers, seeds = st.integers(1, 24), st.integers(0, 3)
few = settings(max_examples=40, deadline=None)


def active(name, pairs, step, total=60, per_epoch=10, seed=0, share=None):
    moment = Moment(step, total, step // per_epoch, seed)
    return active_pairs(name, pairs, moment, moment.progress if share is None else share)


def test_every_choosing_mapping_has_its_choice():
    assert set(CHOICES) == {name for name, row in MAPPINGS.items() if row.choosing}


def test_other_mappings_use_all_their_pairs():
    pairs = resolve_mapping("emd", 4, 2, 0)
    assert active("emd", pairs, 3) == active("", pairs, 3) == pairs


@pytest.mark.parametrize("name", CHOICES)
@few
@given(teacher=layers, student=layers, step=st.integers(0, 59), seed=seeds)
def test_what_counts_is_some_of_the_pairs(name, teacher, student, step, seed):
    pairs = resolve_mapping(name, teacher, student, seed)
    chosen = active(name, pairs, step, seed=seed)
    assert chosen and set(chosen) <= set(pairs)
    students = [s for _, s in chosen]
    assert students == sorted(set(students)), "a student layer learns two layers at once"
    if name != "progressive":
        assert len(students) == student, "a student layer learns nothing"
    if not moves(name, pairs):
        assert chosen == pairs, "said to stand still, but something is left out"


@pytest.mark.parametrize("name", ["random-in-block", "random-per-epoch"])
def test_a_choice_depends_on_seed_and_time_alone(name):
    """Whatever was drawn before: a training that is resumed goes on as it would have."""
    pairs = resolve_mapping(name, 12, 4, 0)
    straight = [active(name, pairs, step) for step in range(60)]
    assert [active(name, pairs, step) for step in reversed(range(60))] == straight[::-1]
    assert [active(name, pairs, step, seed=1) for step in range(60)] != straight
    again = resolve_mapping(name, 12, 4, 7)
    assert [active(name, again, step) for step in range(60)] == straight, (
        "terms with one mapping draw different layers"
    )


def test_random_in_block_draws_each_layer_of_the_block_at_each_step():
    pairs = resolve_mapping("random-in-block", 12, 4, 0)
    drawn = [active("random-in-block", pairs, step, total=600) for step in range(600)]
    counts = Counter(pair for chosen in drawn for pair in chosen)
    assert set(counts) == set(blocks(12, 4, 0)), "a layer is never drawn"
    assert all(140 < count < 260 for count in counts.values()), "the draw is not even"
    assert len({chosen for chosen in drawn}) > 60, "blocks do not draw independently"


def test_random_per_epoch_keeps_the_order_and_draws_every_choice():
    pairs = resolve_mapping("random-per-epoch", 6, 3, 0)
    drawn = [active("random-per-epoch", pairs, step, total=5000) for step in range(5000)]
    for epoch in range(500):
        assert len(set(drawn[10 * epoch : 10 * epoch + 10])) == 1, "changes within an epoch"
    for chosen in drawn:
        targets = [t for t, _ in chosen]
        assert targets == sorted(set(targets)), "RAIL-KD's layers increase"
    assert len(set(drawn)) == comb(6, 3)
    assert {pair for chosen in drawn for pair in chosen} == set(pairs), "a pair that cannot be"


def test_random_per_epoch_of_a_deeper_student_repeats_layers_in_order():
    pairs = resolve_mapping("random-per-epoch", 2, 4, 0)
    drawn = {active("random-per-epoch", pairs, step, total=3000) for step in range(3000)}
    targets = {tuple(t for t, _ in chosen) for chosen in drawn}
    assert targets == {(1,) * (4 - n) + (2,) * n for n in range(5)}


@few
@given(student=layers, total=st.integers(1, 200))
def test_progressive_grows_from_one_layer_to_all(student, total):
    pairs = resolve_mapping("progressive", 12, student, 0)
    for step in range(total):
        wanted = min(1 + int(Fraction(student * step, total)), student)
        assert active("progressive", pairs, step, total) == pairs[:wanted]
    assert active("progressive", pairs, 0, share=1.0) == pairs


@pytest.mark.parametrize("name", CHOICES)
@few
@given(teacher=layers, student=layers)
def test_a_mapping_that_says_it_moves_does(name, teacher, student):
    pairs = resolve_mapping(name, teacher, student, 0)
    seen = {active(name, pairs, step, 600, 1) for step in range(600)}
    assert moves(name, pairs) == (len(seen) > 1)


@pytest.mark.parametrize("name", MAPPINGS)
def test_a_mapping_is_called_seeded_where_the_seed_changes_something(name):
    text = name.replace("K", "2")
    pairs = {resolve_mapping(text, 12, 4, seed) for seed in range(5)}
    drawn = {active(name, resolve_mapping(text, 12, 4, 0), 3, seed=seed) for seed in range(5)}
    assert (len(pairs) > 1 or len(drawn) > 1) == MAPPINGS[name].seeded
