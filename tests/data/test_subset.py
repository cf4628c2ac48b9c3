"""Fractions of the training examples: nested, stratified, and of the seed and the ids alone."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from trainings import make_split

from kd.axes.kinds import CLASSES, LABELS, SCORES
from kd.data.subset import examples_of, held_out_rows, training_rows
from kd.runtime.errors import UserError

FRACTIONS = [0.01, 0.1, 0.3, 0.5, 0.9, 1]


def skewed(count=200, classes=(150, 40, 10)):
    """A split with so many examples of each class, in a random order."""
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(classes)])
    order = torch.randperm(count, generator=torch.Generator().manual_seed(3))
    return replace(make_split(count), labels=labels[order])


def ids(split, fraction, seed=0, kind=CLASSES):
    rows = training_rows(split, fraction, seed, kind)
    return set(split.ids.tolist() if rows is None else split.ids[rows].tolist())


def test_all_of_them_are_no_choice():
    assert training_rows(skewed(), 1, 0, CLASSES) is None


@pytest.mark.parametrize("kind", [CLASSES, SCORES, LABELS])
def test_a_smaller_fraction_is_a_part_of_a_larger_one(kind):
    split = {
        CLASSES: skewed(),
        SCORES: make_split(200, regression=True),
        LABELS: replace(make_split(200), labels=in_sets()),
    }[kind]
    chosen = [ids(split, f, kind=kind) for f in FRACTIONS]
    for small, large in pairwise(chosen):
        assert small < large


@pytest.mark.parametrize("fraction", FRACTIONS[:-1])
def test_each_label_has_its_share_and_one_example_at_least(fraction):
    split = skewed()
    rows = training_rows(split, fraction, 0, CLASSES)
    assert rows.tolist() == sorted(set(rows.tolist())), "not in the order of the split"
    counts = split.labels[rows].bincount().tolist()
    assert counts == [max(1, round(fraction * n)) for n in (150, 40, 10)]


def test_a_regression_has_its_share_of_each_tenth_of_the_scores():
    scores = torch.linspace(0, 4.99, 200)[torch.randperm(200)]
    split = replace(make_split(200), labels=scores)
    chosen = scores[training_rows(split, 0.2, 0, SCORES)]
    low = sum(int((chosen < 5 * (i + 1) / 10).sum()) for i in range(10))
    assert len(chosen) == 40 and low == sum(4 * (i + 1) for i in range(10))


SETS = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1]]


def in_sets():
    """(200, 3): 120 examples with the first label, 60 with two, 17 without, 3 with all."""
    sets = [SETS[0]] * 120 + [SETS[1]] * 60 + [SETS[2]] * 17 + [SETS[3]] * 3
    order = torch.randperm(200, generator=torch.Generator().manual_seed(5))
    return torch.tensor(sets, dtype=torch.uint8)[order]


@pytest.mark.parametrize("fraction", FRACTIONS[:-1])
def test_each_set_of_labels_has_its_share_but_for_an_example(fraction):
    split = replace(make_split(200), labels=in_sets())
    chosen = split.labels[training_rows(split, fraction, 0, LABELS)].tolist()
    assert len(chosen) == round(fraction * 200)
    for labels, count in zip(SETS, (120, 60, 17, 3), strict=True):
        assert abs(chosen.count(labels) - fraction * count) < 1.5


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_many_rare_sets_of_labels_do_not_change_the_size_of_a_part(share):
    """A rounded share of each set, and one example at least, took six times the examples."""
    rng = torch.Generator().manual_seed(0)
    split = replace(make_split(6000), labels=(torch.rand(6000, 9, generator=rng) < 0.4).byte())
    rows = training_rows(split, share, 0, LABELS)
    held = held_out_rows(split, share, 0, LABELS)
    assert len(rows) == len(rows.unique()) == len(held) == len(held.unique()) == 6000 * share
    whole, part = split.labels.float().mean(0), split.labels[rows].float().mean(0)
    assert (whole - part).abs().max() < 4 * (0.24 / (6000 * share)) ** 0.5
    settings = {"held_out": share, "held_out_seed": 0, "train_fraction": 0.5, "fraction_seed": 0}
    trained = examples_of(split, settings, LABELS)
    assert len(trained) == 0.5 * (6000 - 6000 * share)
    assert not set(trained.tolist()) & set(held.tolist())


def test_each_example_of_a_multi_label_task_is_as_likely_as_any_other():
    split = replace(make_split(200), labels=in_sets())
    counts = torch.zeros(200)
    for seed in range(400):
        counts[training_rows(split, 0.1, seed, LABELS)] += 1
    # Their sets: 3 of 200, 17, 60 and 120 examples.
    sizes = torch.tensor([SETS.index(row) for row in split.labels.tolist()])
    for kind in range(4):
        assert abs(counts[sizes == kind].mean() / 400 - 0.1) < 0.025


def test_the_choice_is_of_the_seed_and_the_ids_alone():
    split = skewed()
    first = ids(split, 0.3)
    torch.rand(5)
    assert ids(split, 0.3) == first
    assert ids(split, 0.3, seed=1) != first
    order = torch.arange(199, -1, -1)
    turned = replace(split, labels=split.labels[order], ids=split.ids[order])
    assert ids(turned, 0.3) == first, "another order of the file, another choice"


def test_the_choice_of_today_is_that_of_tomorrow():
    """Another one would give finished runs other data under the same id."""
    assert sorted(ids(make_split(30), 0.3)) == STORED


STORED = [4, 6, 8, 9, 11, 19, 20, 23]


@pytest.mark.parametrize("kind", [CLASSES, SCORES])
@pytest.mark.parametrize("fraction", [1, 0.3])
def test_no_training_reads_the_held_out_slice(kind, fraction):
    split = make_split(200, regression=True) if kind is SCORES else skewed()
    held = set(held_out_rows(split, 0.1, 0, kind).tolist())
    settings = {"held_out": 0.1, "held_out_seed": 0, "train_fraction": fraction, "fraction_seed": 0}
    trained = examples_of(split, settings, kind).tolist()
    assert len(held) == 20 and not held & set(trained)
    size = {1: 180, 0.3: 10 * 5 if kind is SCORES else 40 + 11 + 3}[fraction]  # 18; 135, 36, 9
    assert len(trained) == size and trained == sorted(trained)


def test_the_slice_has_its_share_of_each_label():
    split = skewed()
    rows = held_out_rows(split, 0.2, 0, CLASSES)
    assert rows.tolist() == sorted(rows.tolist())
    assert split.labels[rows].bincount().tolist() == [30, 8, 2]
    scores = torch.linspace(0, 5, 200)[torch.randperm(200)]
    chosen = scores[held_out_rows(replace(make_split(200), labels=scores), 0.2, 0, SCORES)]
    assert torch.histc(chosen, 10, 0, 5).tolist() == [4] * 10


def test_the_slice_is_of_its_seed_and_the_ids_alone():
    split = skewed()
    first, other = (split.ids[held_out_rows(split, 0.1, s, CLASSES)].tolist() for s in (0, 1))
    order = torch.arange(199, -1, -1)
    turned = replace(split, labels=split.labels[order], ids=split.ids[order])
    assert sorted(turned.ids[held_out_rows(turned, 0.1, 0, CLASSES)].tolist()) == sorted(first)
    assert set(first) != set(other)


def test_a_slice_without_examples_is_refused():
    split = replace(make_split(200), labels=torch.eye(20)[torch.arange(200) % 20])
    with pytest.raises(UserError, match=r"a share of 0\.002 of 200 examples is 0"):
        held_out_rows(split, 0.002, 0, LABELS)


def test_the_slice_of_today_is_that_of_tomorrow():
    split = make_split(30)
    assert split.ids[held_out_rows(split, 0.3, 0, CLASSES)].tolist() == STORED_SLICE


def test_smaller_fractions_are_still_a_part_of_larger_ones_outside_the_slice():
    split, settings = skewed(), {"held_out": 0.1, "held_out_seed": 0, "fraction_seed": 0}
    chosen = [
        set(examples_of(split, {**settings, "train_fraction": f}, CLASSES).tolist())
        for f in FRACTIONS
    ]
    for small, large in pairwise(chosen):
        assert small < large


def test_a_label_must_be_on_both_sides_of_the_slice():
    with pytest.raises(UserError, match=r"a share of 0.01 of 40 examples is 0, but each label"):
        held_out_rows(skewed(), 0.01, 0, CLASSES)


def test_a_part_of_a_split_has_the_same_examples():
    split, rows = make_split(30), torch.tensor([3, 7, 20])
    part = split.only(rows)
    whole, alone = split.batch(rows), part.batch(torch.arange(3))
    assert all(torch.equal(whole[name], alone[name]) for name in whole)
    assert part.lengths.tolist() == split.lengths[rows].tolist()


STORED_SLICE = [6, 8, 19, 21, 23, 26, 27, 28]
