"""How student shapes are written, and their sizes."""

import pytest

from kd.errors import UserError
from kd.shapes import NAMED, Shape, default_heads, parse_shape


def test_spellings():
    full = parse_shape("6L-384-12h-1536")
    assert full == parse_shape("6L-384") == parse_shape("6l-384") == NAMED["minilm-l6"]
    assert str(full) == "6L-384-12h-1536"
    assert parse_shape(str(full)) == full
    assert parse_shape("tinybert4") == Shape(4, 312, 12, 1200)


@pytest.mark.parametrize(
    ("hidden", "heads"),
    [(768, 12), (384, 12), (312, 12), (1024, 16), (512, 8), (256, 4), (128, 2), (64, 1), (32, 2)],
)
def test_default_heads_follow_the_literature(hidden, heads):
    assert default_heads(hidden) == heads


# Parameters with vocabulary 30522, pooler included, in millions, as the papers state them.
@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("bert-base", 109.5),
        ("bert-large", 335.1),
        ("bert-tiny", 4.4),
        ("bert-mini", 11.2),
        ("bert-small", 28.8),
        ("bert-medium", 41.4),
        ("tinybert4", 14.4),
        ("minilm-l6", 22.7),
        ("minilm-l12", 33.4),
    ],
)
def test_parameters(name, millions):
    assert NAMED[name].parameters() / 1e6 == pytest.approx(millions, abs=0.06)


@pytest.mark.parametrize("bad", ["6L", "6-384", "0L-384", "6L-384-5h-10", "6L-384-12h-0", "bert"])
def test_what_is_no_shape(bad):
    with pytest.raises(UserError, match="found"):
        parse_shape(bad)
