"""Weights that change during the training: grammar, values, idle parts."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd.axes.weights import ONE, Weight, as_weight, idle_part, parse_weight
from kd.runtime.errors import UserError

numbers = st.one_of(
    st.integers(1, 10**6).map(float),
    st.floats(1e-6, 1e6).map(lambda x: float(f"{x:.9g}")),
)
percents = st.integers(0, 1000).map(lambda n: n / 10)
windows = st.tuples(percents, percents).filter(lambda w: w[0] != w[1]).map(sorted)


@st.composite
def weights(draw):
    start = draw(st.one_of(numbers, st.just(0.0)))
    end = draw(numbers) if start == 0 else draw(st.one_of(st.just(start), st.just(0.0), numbers))
    return Weight(start, end, *draw(st.one_of(st.just((0.0, 100.0)), windows)))


@given(weights())
def test_what_is_written_is_read_back(weight):
    assert parse_weight(str(weight)) == weight
    assert parse_weight(f"{weight:.12g}") == weight


@pytest.mark.parametrize(
    ("text", "weight", "written"),
    [
        ("1", ONE, "1"),
        (" 0.50 ", Weight(0.5, 0.5), "0.5"),
        ("1e-3", Weight(0.001, 0.001), "0.001"),
        ("1e+3", Weight(1000, 1000), "1000"),
        ("0..1", Weight(0, 1), "0..1"),
        ("1..0", Weight(1, 0), "1..0"),
        ("2..2", Weight(2, 2), "2"),
        ("1%50-100", Weight(1, 1, 50, 100), "1%50-100"),
        ("1..0%0-50", Weight(1, 0, 0, 50), "1..0%0-50"),
        ("3%0-100", Weight(3, 3), "3"),
        ("1%12.5-33.3", Weight(1, 1, 12.5, 33.3), "1%12.5-33.3"),
    ],
)
def test_grammar(text, weight, written):
    assert parse_weight(text) == weight
    assert str(weight) == written


@pytest.mark.parametrize(
    "bad",
    [
        *("", "0", "0..0", "0%0-50", "-1", "x", "1..", "..1", "1%", "1%50", "1%50-", "1 .. 0"),
        *("1%50-50", "1%60-50", "1%0-101", "1%-5-50", "nan", "inf", "1e400", "1e9", "0..1..0"),
    ],
)
def test_what_is_no_weight(bad):
    with pytest.raises(UserError, match=r"allowed: a number above 0|within 0-100 percent"):
        parse_weight(bad)


@given(
    weights(), st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n)))
)
def test_a_weight_is_linear_in_its_window_and_0_outside(weight, place):
    step, total = place
    percent = Fraction(100 * step, total)
    since, until = (Fraction(str(x)) for x in (weight.since, weight.until))
    passed = min(max((percent - since) / (until - since), Fraction(0)), Fraction(1))
    assert weight.share(step / total) == pytest.approx(float(passed), abs=1e-9)
    wanted = 0.0
    if since <= percent < until:
        wanted = weight.start + (weight.end - weight.start) * float(passed)
    assert weight.at(step / total) == pytest.approx(wanted, rel=1e-6, abs=1e-9 * weight.peak)
    assert 0 <= weight.at(step / total) <= weight.peak * (1 + 1e-12)


def test_neighbouring_windows_share_the_training_to_the_step():
    """100 * (29 / 100) is just below 29: the step at a border belongs to the later window."""
    for border in range(1, 100):
        one, two = parse_weight(f"1%0-{border}"), parse_weight(f"1%{border}-100")
        early = [step for step in range(100) if one.at(step / 100)]
        late = [step for step in range(100) if two.at(step / 100)]
        assert (early, late) == (list(range(border)), list(range(border, 100)))


def test_peak_and_constant():
    assert [parse_weight(t).peak for t in ("0..3", "2..1%0-50", "0.5")] == [3, 2, 0.5]
    assert [parse_weight(t).constant for t in ("0.5", "0..1", "1%0-50")] == [True, False, False]


def test_numbers_and_texts_become_weights():
    assert as_weight(0) == Weight(0, 0) and as_weight(0.5) == Weight(0.5, 0.5)
    assert as_weight("0..1") == Weight(0, 1)


@pytest.mark.parametrize(
    ("texts", "idle"),
    [
        (["1"], None),
        (["0..1"], None),
        (["1..0"], None),
        (["1%0-50", "1%50-100"], None),
        (["1%0-60", "2%40-100"], None),
        (["1%0-50", "1%60-100"], (50, 60)),
        (["1%10-100"], (0, 10)),
        (["1%0-90", "0..1%0-20"], (90, 100)),
        (["1%20-30", "1%50-60"], (0, 20)),
        ([], (0, 100)),
    ],
)
def test_idle_part(texts, idle):
    assert idle_part([parse_weight(text) for text in texts]) == idle


def test_a_weight_of_0_is_idle_throughout():
    assert idle_part([as_weight(0)]) == (0, 100)
    assert idle_part([as_weight(0), parse_weight("1%50-100")]) == (0, 50)
