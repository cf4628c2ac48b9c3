"""The grammar of objectives."""

import pytest

from kd.axes.forms import FORMS, form_of
from kd.axes.kinds import CLASSES, KINDS, LABELS, SCORES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.labels import NONE
from kd.axes.matchings import MATCHINGS, MEANINGLESS
from kd.axes.terms import Term, matchings_of, parse_knowledge
from kd.axes.weights import Weight, as_weight
from kd.runtime.errors import UserError
from kd.study.teacher_outputs import PER_EXAMPLE


def test_every_part_is_read():
    (term,) = parse_knowledge("hidden:cosine@4-1,8-2*0.25")
    assert (term.knowledge, term.matching, term.mapping, term.weight) == (
        "hidden",
        "cosine",
        "4-1,8-2",
        Weight(0.25, 0.25),
    )
    assert str(term) == "hidden:cosine@4-1,8-2*0.25"


def test_none_has_no_terms():
    assert parse_knowledge(NONE) == ()


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (Term("logits", "kl", ((0, 0),)), "logits:kl"),
        (Term("hidden", "mse", ((4, 1), (8, 2)), as_weight(0.1)), "hidden:mse@4-1,8-2*0.1"),
        (Term("embedding", "mse", ((0, 0),), as_weight(3.0)), "embedding:mse*3"),
        (Term("cls", "mse", ((1, 1), (2, 1)), moving="emd"), "cls:mse@emd"),
        (Term("logits", "kl", ((0, 0),), Weight(0, 1, 50, 80)), "logits:kl*0..1%50-80"),
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


def test_weights_with_exponents_and_schedules():
    """A plus sign joins terms, unless it stands in a number."""
    terms = parse_knowledge("logits*1e+2 + hidden@first-2*1e-3..1%5-50+cls:mse*0..1")
    assert [str(t) for t in terms] == ["logits*100", "hidden@first-2*0.001..1%5-50", "cls:mse*0..1"]
    again = parse_knowledge("+".join(map(str, terms)))
    assert again == terms


def test_the_default_matching_can_be_named():
    assert parse_knowledge("hidden:default@last") == parse_knowledge("hidden@last")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden*0", r"weight in 'hidden\*0': found '0', allowed: a number above 0"),
        ("hidden*1%50-10", r"weight in .*: the window must lie within 0-100 percent"),
        ("hiden", "did you mean hidden"),
        ("hidden:msee", "did you mean mse"),
        ("hidden@fist-2", "did you mean first"),
        ("hidden*1%0-50+hidden*2%50-100", "the term hidden is there twice"),
        ("embedding@last", "embedding has no layers, so it takes no mapping"),
    ],
)
def test_errors_say_what_is_wrong(text, message):
    with pytest.raises(UserError, match=message):
        parse_knowledge(text)


def test_every_knowledge_has_matchings():
    for name, row in KNOWLEDGE.items():
        assert matchings_of(name, CLASSES) == MATCHINGS[row.form.name]
    assert list(matchings_of("logits", SCORES)) == ["mse"]
    for kind in KINDS.values():
        first, *others = matchings_of("teacher-classifier", kind)
        assert first == "mse"
        assert {first, *others} == set(matchings_of("logits", kind))
    of_labels, of_classes = (matchings_of("logits", kind) for kind in (LABELS, CLASSES))
    assert set(of_classes) - set(of_labels) == set(MEANINGLESS[LABELS])
    assert not set(of_labels) - set(of_classes)


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


def test_every_form_is_of_some_knowledge_and_has_matchings():
    used = {row.form for row in KNOWLEDGE.values()}
    used |= {form_of(form, kind) for form in used for kind in KINDS.values()}
    assert used == set(FORMS.values())
    assert list(MATCHINGS) == list(FORMS)
    assert {"logits", "cls", "pooled"} == PER_EXAMPLE
