"""How numbers are written in tables, figures and sentences."""

import pandas as pd

NOTHING = "–"  # a missing or undefined number


def points(mean: float, sd: float, n: int, planned: int, signed: bool = False) -> str:
    """'81.2 ± 0.4 (3)' in points, with '(2/3)' if runs are missing; a dash if all are."""
    if n == 0 or pd.isna(mean):
        return NOTHING
    text = plain(100 * mean, 1, signed)
    spread = "" if pd.isna(sd) else f" ± {100 * sd:.1f}"
    return f"{text}{spread} ({n})" if n == planned else f"{text}{spread} ({n}/{planned})"


def plain(number: float, digits: int = 0, signed: bool = False) -> str:
    """A number with a true minus sign; a dash if it is unknown."""
    if pd.isna(number):
        return NOTHING
    text = f"{number:{'+' if signed else ''}.{digits}f}"
    if not any(char in "123456789" for char in text):  # no -0.0
        text = text.lstrip("+-")
    return text.replace("-", "−")


def interval(low: float, high: float) -> str:
    """'+0.1 to +0.9', in points; '' if there is no interval."""
    if pd.isna(low):
        return ""
    return f"{plain(100 * low, 1, True)} to {plain(100 * high, 1, True)}"


def p_text(p: float) -> str:
    """'0.012', '<0.001', or a dash."""
    if pd.isna(p):
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def millions(size: float) -> str:
    """'66.4 M'. Small numbers have three digits."""
    if pd.isna(size):
        return NOTHING
    return f"{size / 1e6:.1f} M" if size >= 1e7 else f"{size / 1e6:.3g} M"
