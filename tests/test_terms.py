"""The grammar of objectives."""

import pytest

from kd.errors import UserError
from kd.knowledge import KNOWLEDGE
from kd.matching import MATCHINGS
from kd.terms import NONE, Term, matchings_of, parse_knowledge


def test_every_part_is_read():
    (term,) = parse_knowledge("hidden:cosine@4-1,8-2*0.25")
    assert (term.knowledge, term.matching, term.mapping, term.weight) == (
        "hidden",
        "cosine",
        "4-1,8-2",
        0.25,
    )
    assert str(term) == "hidden:cosine@4-1,8-2*0.25"


def test_none_has_no_terms():
    assert parse_knowledge(NONE) == ()


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Term("logits", "kl", ((0, 0),)), "logits:kl"),
        (Term("hidden", "mse", ((4, 1), (8, 2)), 0.1), "hidden:mse@4-1,8-2*0.1"),
        (Term("embedding", "mse", ((0, 0),), 3.0), "embedding:mse*3"),
    ],
)
def test_canonical_text_can_be_written_in_a_study(term, text):
    assert str(term) == text
    (raw,) = parse_knowledge(text)
    assert (raw.knowledge, raw.matching, raw.weight) == (
        term.knowledge,
        term.matching,
        term.weight,
    )


def test_every_knowledge_has_matchings():
    for name, row in KNOWLEDGE.items():
        assert matchings_of(name, regression=False) is MATCHINGS[row.form]
    assert list(matchings_of("logits", regression=True)) == ["mse"]


@pytest.mark.parametrize(
    "bad",
    [
        *("", "+", "logits+", "hidden:", "hidden@", "hidden*", "hidden*x", "hidden*-1"),
        *("hidden*nan", "hidden+hidden", "hidden:mse:mae", "none+logits", "hidden@nowhere"),
        *(3, None, ["logits"]),
    ],
)
def test_what_is_no_objective(bad):
    with pytest.raises(UserError):
        parse_knowledge(bad)
