"""What a user sees as a sentence instead of a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr


class UserError(Exception):
    """Something that the user can mend; the message says where, what was found, what is allowed."""


class Pruned(Exception):
    """A cell has no meaning; the message says why."""


def shown(value: object) -> str:
    """`value` as it is quoted in an error: like repr, but never long."""
    short = Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)


def nearest(found: object, allowed: Iterable[object]) -> str:
    """' (did you mean X?)' for the allowed value nearest to `found`, or '' where none is near."""
    known = [str(value) for value in allowed]
    match = get_close_matches(found[:80], known, n=1, cutoff=0.5) if isinstance(found, str) else []
    return f" (did you mean {match[0]}?)" if match else ""


def listing(allowed: Iterable[object]) -> str:
    """The allowed values as text: 'a, b, c'."""
    return ", ".join(str(value) for value in allowed)


def unknown(where: str, found: object, allowed: Iterable[object]) -> UserError:
    """The error for a value that is not one of a known set."""
    allowed = list(allowed)
    return UserError(
        f"{where}: found {shown(found)}, allowed: {listing(allowed)}{nearest(found, allowed)}"
    )
