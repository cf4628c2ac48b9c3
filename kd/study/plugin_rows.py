"""What a row of a plugin must be: its type, its name, its facts, and a trial of light functions."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from kd.axes.figures import PluginFigure
from kd.axes.forms import (
    FORMS,
    LAYERS,
    LOGITS,
    MAPS,
    MULTI_LABEL,
    REGRESSION,
    RELATION,
    SCORES,
    VECTOR,
)
from kd.axes.initialisations import Initialisation
from kd.axes.kinds import KINDS
from kd.axes.knowledge import Knowledge
from kd.axes.mappings import LayerMapping
from kd.axes.matchings import Matching
from kd.axes.metrics import CORRELATION, SHARE, Metric
from kd.axes.plugins import Row
from kd.axes.shapes import Named, Shape
from kd.runtime.errors import UserError, listing, shown

TYPES: dict[str, type] = {
    "KNOWLEDGE": Knowledge,
    "MATCHINGS": Matching,
    "MAPPINGS": LayerMapping,
    "NAMED": Named,
    "INITIALISATIONS": Initialisation,
    "METRICS": Metric,
    "FIGURES": PluginFigure,
}
_NAME = r"[a-z][a-z0-9]*(-[a-z0-9]+)*"
_RESERVED = ("none", "hard", "default", "auto", "score", "all")
_LOGITS = (LOGITS, REGRESSION, MULTI_LABEL)
_HIDDEN, _ATTENTION = ("hidden",), ("query", "key", "value")
_SIZES = [(t, s) for t in (1, 2, 3, 4, 6, 12) for s in (1, 2, 3, 4, 6)]  # of a trial


def check_row(row: Row) -> None:
    """Check a row.

    Raises:
        UserError: what was found, what is allowed.
    """
    if type(row.value) is not TYPES[row.table]:
        raise UserError(
            f"found {shown(row.value)}, allowed: a row of the type {TYPES[row.table].__name__} "
            f"(from kd.axes.rows import {TYPES[row.table].__name__})"
        )
    ends = "(-K)?" if row.table == "MAPPINGS" else ""  # a mapping's may stand for a number
    if not isinstance(row.name, str) or not re.fullmatch(_NAME + ends, row.name):
        raise UserError("its name is not allowed: words of a-z and 0-9 joined by -")
    if row.name in _RESERVED or len(row.name) > 40:
        raise UserError(
            f"its name is not allowed: up to 40 letters, and none of {listing(_RESERVED)}"
        )
    _CHECKS[row.table](row)


def _text(row: Row, *names: str) -> None:
    for name in names:
        value = getattr(row.value, name)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{name}: found {shown(value)}, allowed: text")


def _function(row: Row, name: str, *arguments: str, **keywords: Any) -> None:
    """That a part of a row is a function which takes these arguments."""
    function = getattr(row.value, name)
    wanted = f"a function ({', '.join([*arguments, *keywords])})"
    if not callable(function):
        raise UserError(f"{name}: found {shown(function)}, allowed: {wanted}")
    try:
        inspect.signature(function).bind(*arguments, **keywords)
    except TypeError:
        raise UserError(
            f"{name}: found the function {getattr(function, '__name__', '')}"
            f"{inspect.signature(function)}, allowed: {wanted}"
        ) from None
    except ValueError:  # of a function in C, which does not say
        return


def _knowledge(row: Row) -> None:
    value: Knowledge = row.value
    _text(row, "meaning")
    if value.form not in FORMS.values() or value.form in _LOGITS:
        forms = [name for name, form in FORMS.items() if form not in _LOGITS]
        raise UserError(f"form: found {shown(value.form)}, allowed: {listing(forms)}")
    if value.form is LAYERS and (value.features != _HIDDEN or value.read):
        raise UserError("features: of the form layers, allowed: ('hidden',) without `read`")
    usual = {MAPS: 2, SCORES: 2, RELATION: 2}.get(value.form)
    allowed: tuple[str, ...] = _ATTENTION if usual else _HIDDEN
    if value.read:
        _function(row, "read", "tensors", "mask")
        allowed = (*_HIDDEN, *_ATTENTION)
    if (
        not isinstance(value.features, tuple)
        or not value.features
        or not {*value.features} <= {*allowed}
        or (not value.read and len(value.features) != (usual or 1))
    ):
        count = f"{usual or 1} of " if not value.read else ""
        raise UserError(
            f"features: found {shown(value.features)}, allowed: a tuple of {count}"
            f"{listing(allowed)}"
        )
    if value.form is VECTOR and not value.read and value.vector not in ("cls", "pooled"):
        raise UserError("read: missing; a vector needs the function that makes it of `features`")
    if value.classified or value.usual:
        raise UserError("classified, usual: only teacher-classifier of kd-grid has them")
    if value.read and value.vector:
        raise UserError("vector: it goes without `read`")
    if value.lowest_layer not in (0, 1) or (value.lowest_layer == 0 and value.features != _HIDDEN):
        raise UserError(
            f"lowest_layer: found {shown(value.lowest_layer)}, allowed: 1, or 0 for hidden"
        )
    if not value.layered and value.features != _HIDDEN:
        raise UserError("layered: only hidden has a layer 0, which is what is read without layers")


def _matching(row: Row) -> None:
    value: Matching = row.value
    _text(row, "formula", "floor")
    form = FORMS[row.form]
    sides = ["student", "teacher"]
    if not form.per_example:
        sides.append("mask")
    if form.relation_heads:
        sides.append("heads")
    keywords: dict[str, Any] = dict(value.options)
    keywords |= {
        name: None
        for name, taken in (("temperature", value.softened), ("labels", value.labelled))
        if taken
    }
    _function(row, "loss", *sides, **keywords)
    logits = form in _LOGITS
    for name in ("softened", "labelled", "options"):
        if getattr(value, name) and not logits:
            raise UserError(f"{name}: only matchings of logits have it")
    if (value.same_width or value.both_projected) and row.form not in ("tokens", "vector"):
        raise UserError("same_width, both_projected: only tokens and vectors are projected")
    if value.same_heads and row.form not in ("maps", "scores"):
        raise UserError("same_heads: only maps and scores have heads")


def _mapping(row: Row) -> None:
    value: LayerMapping = row.value
    _text(row, "formula")
    if value.weighted:
        raise UserError("weighted: only emd and attention-weighted of kd-grid are")
    if value.choosing != (value.choose is not None):
        raise UserError("choosing and choose go together")
    if value.choose:
        _function(row, "choose", "pairs", "moment", "share")
    number = row.name.endswith("-K")
    _function(row, "pairs", *("teacher", "student", "seed", *(["k"] if number else [])))
    _try_pairs(value.pairs, (1,) if number else (), every=False)


def _try_pairs(pairs: Callable[..., Any], more: tuple[int, ...], every: bool) -> None:
    """Call it for some sizes; `every`: each student layer must be there once, where S <= T."""
    for t, s in _SIZES:
        if every and s > t:
            continue
        given = pairs(t, s, 1, *more)
        at = f"for {t} teacher layers, {s} student layers and seed 1 it gave {shown(given)}"
        try:
            listed = [(a, b) for a, b in given]
            right = all(type(n) is int for pair in listed for n in pair)
        except (TypeError, ValueError):
            listed, right = [], False
        if not right or not all(0 <= a <= t and 0 <= b <= s for a, b in listed):
            raise UserError(
                f"{at}, allowed: pairs (teacher layer 1 to {t}, student layer 1 to {s})"
            )
        if every and sorted(b for _, b in listed) != list(range(1, s + 1)):
            raise UserError(f"{at}, allowed: each student layer from 1 to {s} once")
        if [*given] != [*pairs(t, s, 1, *more)]:
            raise UserError(
                f"{at}, and other pairs at the next call: draw from random.Random(seed) alone"
            )


def _named(row: Row) -> None:
    shape = row.value.shape
    if not isinstance(shape, Shape) or shape.hidden % shape.heads or shape.ffn < 1:
        raise UserError(
            f"shape: found {shown(shape)}, allowed: Shape(layers, hidden, heads, ffn), with heads "
            f"that divide hidden"
        )


def _initialisation(row: Row) -> None:
    value: Initialisation = row.value
    _text(row, "meaning")
    if (value.layers is None) == (value.weights is None):
        raise UserError("allowed: one of `layers` (pairs to copy) and `weights` (a function)")
    if value.layers:
        _function(row, "layers", "teacher", "student", "seed")
        _try_pairs(value.layers, (), every=True)
    else:
        _function(row, "weights", "student", "teacher")
    if value.obstacle:
        _function(row, "obstacle", "student", "teacher")
    if value.layers and not value.needs_teacher:
        raise UserError("needs_teacher: layers are copied from the teacher, allowed: True")


def _metric(row: Row) -> None:
    value: Metric = row.value
    _text(row, "meaning")
    _function(row, "function", "predictions", "labels")
    if not isinstance(value.kinds, tuple) or not {*value.kinds} <= {*KINDS.values()}:
        names = listing(f"kinds.{name.upper()}" for name in KINDS)
        raise UserError(f"kinds: found {shown(value.kinds)}, allowed: a tuple of {names}")
    if not value.kinds:
        raise UserError("kinds: found none")
    if value.scored and value.unit not in (SHARE, CORRELATION):
        raise UserError(
            f"unit: found {shown(value.unit)}, allowed for a part of the score: SHARE, "
            f"CORRELATION; others need scored=False"
        )


def _figure(row: Row) -> None:
    _text(row, "caption")
    _function(row, "draw", "runs")
    if row.name.startswith(("effect-", "heatmap-")):
        raise UserError("its name is not allowed: effect-... and heatmap-... name axes")


_CHECKS: dict[str, Callable[[Row], None]] = {
    "KNOWLEDGE": _knowledge,
    "MATCHINGS": _matching,
    "MAPPINGS": _mapping,
    "NAMED": _named,
    "INITIALISATIONS": _initialisation,
    "METRICS": _metric,
    "FIGURES": _figure,
}
