"""How counts and lists are written in sentences."""

from collections.abc import Iterable

_SHOWN = 6  # items of a list that are named one by one


def listed(items: Iterable[str], last: str = "and", shown: int = _SHOWN) -> str:
    """'a, b and c'; of a long list the first ones, and how many more; 'none' of an empty list."""
    names = list(items)
    if not names:
        return "none"
    if len(names) > shown + 1:
        names = [*names[:shown], f"{len(names) - shown} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"


def count(n: int, one: str, several: str = "") -> str:
    """'1 run', '3 runs'."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"
