"""The recipes of selected teachers, and the warning of one at the end of its range."""

import pandas as pd

from kd.results.statistics.teacher_recipes import at_an_end, recipes

TRIED = (
    "learning_rate 5e-05, epochs 4: slice 0.7, dev 0.6; "
    "learning_rate 0.0002, epochs 4: slice 0.9, dev 0.5"
)
LAST = f"{TRIED} (selected)"


def runs(*rows):
    return pd.DataFrame(rows, columns=["teacher", "task", "teacher_candidates"])


def test_each_recipe_is_read_once():
    one, two = recipes(runs(("t", "rte", LAST), ("t", "rte", LAST), ("u", "rte", "")))
    assert (one.text, one.on_slice, one.on_dev, one.selected) == (
        *("learning_rate 5e-05, epochs 4", 0.7, 0.6),
        False,
    )
    assert (two.teacher, two.task, two.selected) == ("t", "rte", True)


def test_the_end_of_a_range_is_a_warning():
    """A setting with one value has no range, and a value between two others is no end."""
    middle = f"{TRIED}; learning_rate 0.0001, epochs 4: slice 0.95, dev 0.4 (selected)"
    told = at_an_end(runs(("t", "rte", LAST), ("t", "mrpc", middle), ("t", "cola", LAST)))
    assert told == [
        "The best learning_rate of the teacher t is the largest that was tried on rte and cola: a "
        "better teacher may lie outside of this range."
    ]
    first = "{0} {1}: slice 0.9, dev 0.6 (selected); {0} 0.1: slice 0.7, dev 0.5"
    (text,) = at_an_end(runs(("t", "rte", first.format("learning_rate", "0.01"))))
    assert "is the smallest that was tried on rte" in text
    assert at_an_end(runs(("t", "rte", first.format("weight_decay", "0")))) == []
    assert at_an_end(pd.DataFrame({"teacher": ["t"], "task": ["rte"]})) == []
