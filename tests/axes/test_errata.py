"""Errata as they are written."""

import pytest

from kd.axes.errata import ERRATA, errata_of, parse_errata
from kd.axes.labels import NONE
from kd.runtime.errors import UserError


def test_errata_are_put_in_the_order_of_the_table():
    assert parse_errata("padding+double-softmax") == "double-softmax+padding"
    assert parse_errata(" + ".join(reversed(ERRATA))) == "+".join(ERRATA)
    assert parse_errata(NONE) == NONE


def test_errata_of_reads_what_parse_errata_wrote():
    assert errata_of(parse_errata("+".join(ERRATA))) == set(ERRATA)
    assert errata_of(NONE) == frozenset()


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("paddings", "did you mean padding"),
        ("none+padding", "found 'none'"),
        ("padding+padding", "is there twice"),
        ("padding+", "found ''"),
    ],
)
def test_what_is_no_erratum(bad, message):
    with pytest.raises(UserError, match=message):
        parse_errata(bad)
