"""Curves of trainings that are running, as SVG."""

from typing import Any

from markupsafe import Markup, escape

_WIDTH, _HEIGHT = 300, 120
_LEFT, _RIGHT, _TOP, _FOOT = 48, 10, 8, 20  # margins
_PAIR = 2  # points that make a line


def curve(row: dict[str, Any]) -> Markup:
    """The loss of a training against its steps; '' while it has fewer than two values."""
    points = [(r["step"], r["loss"]) for r in row["history"] if _finite(r.get("loss"))]
    if len(points) < _PAIR:
        return Markup("")
    total = row["total"] or points[-1][0]
    low, high = min(y for _, y in points), max(y for _, y in points)
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    wide, tall = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _FOOT

    def at(step: float, loss: float) -> str:
        x = _LEFT + wide * min(step / total, 1)
        return f"{x:.1f},{_TOP + tall * (high - loss) / (high - low):.1f}"

    line = " ".join(at(*point) for point in points)
    end_x, end_y = at(*points[-1]).split(",")
    label = f"Loss of {row['name']}: {points[0][1]:.3g} at step {points[0][0]}, "
    label += f"{points[-1][1]:.3g} at step {points[-1][0]} of {total}"
    foot = _HEIGHT - _FOOT
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(label)}">'
        f'<path class="axis" d="M{_LEFT} {_TOP}V{foot}H{_WIDTH - _RIGHT}"/>'
        f'<text x="{_LEFT - 5}" y="{_TOP + 8}" text-anchor="end">{high:.3g}</text>'
        f'<text x="{_LEFT - 5}" y="{foot}" text-anchor="end">{low:.3g}</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 5}">0</text>'
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 5}" text-anchor="end">step {total:,}</text>'
        f'<polyline points="{line}"/><circle cx="{end_x}" cy="{end_y}" r="3"/></svg>'
    )


def _finite(loss: object) -> bool:
    return isinstance(loss, int | float) and abs(loss) < float("inf")
