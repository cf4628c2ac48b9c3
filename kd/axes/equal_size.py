"""Shapes of equal size at other depths, and tables of sizes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kd.axes.shapes import (
    MOST_LAYERS,
    NAMED,
    TOKENS,
    VOCABULARY,
    WIDEST,
    Shape,
    default_heads,
    parse_shape,
)
from kd.runtime.errors import UserError, listing, shown, unknown


@dataclass(frozen=True)
class Measure:
    """A size that shapes can have in common."""

    size: Callable[[Shape], int]
    meaning: str


MEASURES: dict[str, Measure] = {
    "params": Measure(
        lambda shape: shape.parameters(), f"all parameters, with a vocabulary of {VOCABULARY}"
    ),
    "nonembedding": Measure(
        lambda shape: shape.nonembedding_parameters, "parameters without embedding tables"
    ),
    "flops": Measure(
        lambda shape: shape.flops(TOKENS), f"operations of a forward pass over {TOKENS} tokens"
    ),
}
_TOLERANCE = 0.05
_STEPS = (12, 4)  # of the width: 12 heads should divide it, but narrow shapes need finer steps


def same_size(reference: Shape, measure: str, layers: Iterable[int]) -> list[tuple[Shape, float]]:
    """For each depth, the shape whose `measure` is nearest to the reference's, and its relative
    deviation from it.

    Widths are multiples of 12, or of 4 where none of those comes within 5 %; heads are the default,
    the feed-forward network is 4 times as wide. At its own depth the reference stands as it is.

    Raises:
        UserError: at some depth no width comes within 5 %.
    """
    size = MEASURES[measure].size
    wanted = size(reference)
    found = []
    for depth in layers:
        best = reference
        for step in _STEPS if depth != reference.layers else ():
            widths = range(24, WIDEST + 1, step)
            shapes = (_plain(depth, width) for width in widths)
            best = min(shapes, key=lambda shape: abs(size(shape) - wanted))
            if abs(size(best) / wanted - 1) <= _TOLERANCE:
                break
        deviation = size(best) / wanted - 1
        if abs(deviation) > _TOLERANCE:
            raise UserError(
                f"layers: found {depth}, where no width comes within {_TOLERANCE:.0%} of the "
                f"{measure} of {reference} (the nearest, {best}, is {deviation:+.1%} off)"
            )
        found.append((best, deviation))
    return found


def _plain(layers: int, hidden: int) -> Shape:
    return Shape(layers, hidden, default_heads(hidden), 4 * hidden)


ISO = {f"iso-{measure}": measure for measure in MEASURES}


def parse_iso(value: dict[Any, Any]) -> list[tuple[Shape, float]]:
    """The shapes that `{iso-params: 6L-384, layers: [2, 3, 6]}` stands for (see `same_size`).

    Raises:
        UserError: an unknown key, not exactly one measure, no shape, no list of depths, or a depth
            at which no width fits.
    """
    for key in value:
        if key not in (*ISO, "layers"):
            raise unknown("key", key, (*ISO, "layers"))
    named = [key for key in ISO if key in value]
    if len(named) != 1:
        raise UserError(f"found {listing(named) or 'no measure'}, allowed: one of {listing(ISO)}")
    (measure,) = named
    reference, layers = value[measure], value.get("layers")
    if not isinstance(reference, str):
        raise UserError(f"{measure}: found {shown(reference)}, allowed: a shape, such as 6L-384")
    try:
        shape = parse_shape(reference)
    except UserError as error:
        raise UserError(f"{measure}: {error}") from None
    if not isinstance(layers, list) or not layers or not all(map(_is_depth, layers)):
        raise UserError(
            f"layers: found {shown(layers)}, allowed: a list of depths from 1 to {MOST_LAYERS}"
        )
    if len(set(layers)) < len(layers):
        raise UserError(f"layers: found {shown(layers)}, allowed: each depth once")
    return same_size(shape, ISO[measure], layers)


def _is_depth(value: object) -> bool:
    return type(value) is int and 1 <= value <= MOST_LAYERS


def sizes_data(shapes: Iterable[tuple[Shape, float | None]]) -> list[dict[str, Any]]:
    """Shapes for programs. `flops` is at TOKENS tokens; `deviation` is a part of the reference's
    size, None where there is no reference."""
    return [
        {
            "shape": str(shape),
            "parameters": shape.parameters(),
            "nonembedding_parameters": shape.nonembedding_parameters,
            "flops": shape.flops(TOKENS),
            "deviation": deviation,
            "names": _names(shape),
        }
        for shape, deviation in shapes
    ]


def _names(shape: Shape) -> list[str]:
    return [name for name, row in NAMED.items() if row.shape == shape]


def sizes_text(shapes: Iterable[tuple[Shape, float | None]]) -> str:
    """Shapes as a table for people, with sizes, deviations from the reference, and names."""
    rows = [("shape", "parameters", "non-embedding", f"at {TOKENS} tokens", "deviation", "names")]
    rows += [
        (
            str(shape),
            f"{shape.parameters() / 1e6:.1f} M",
            f"{shape.nonembedding_parameters / 1e6:.1f} M",
            f"{shape.flops(TOKENS) / 1e9:.2f} GFLOPs",
            "" if deviation is None else f"{deviation:+.1%}",
            ", ".join(_names(shape)),
        )
        for shape, deviation in shapes
    ]
    if not any(row[4] for row in rows[1:]):
        rows = [(*row[:4], "", row[5]) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{first:<{widths[0]}}"
        + "".join(f"  {text:>{w}}" for text, w in zip(sizes, widths[1:-1], strict=True) if w)
        + f"  {names}".rstrip()
        for first, *sizes, names in rows
    )
