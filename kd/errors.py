"""The one exception that a user sees as a sentence instead of a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something that the user can mend; the message says where, what was found, what is allowed."""


def nearest(found: object, allowed: Iterable[object]) -> str:
    """' (did you mean X?)' for the allowed value nearest to `found`, or '' where none is near."""
    match = get_close_matches(str(found), [str(value) for value in allowed], n=1, cutoff=0.5)
    return f" (did you mean {match[0]}?)" if match else ""


def listing(allowed: Iterable[object]) -> str:
    """The allowed values as text: 'a, b, c'."""
    return ", ".join(str(value) for value in allowed)


def unknown(where: str, found: object, allowed: Iterable[object]) -> UserError:
    """The error for a value that is not one of a known set."""
    allowed = list(allowed)
    return UserError(
        f"{where}: found {found!r}, allowed: {listing(allowed)}{nearest(found, allowed)}"
    )
