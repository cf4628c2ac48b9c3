"""Errors that a user sees as one sentence instead of a traceback."""

import errno
import os
import re
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from reprlib import Repr


class UserError(Exception):
    """An error that the user can fix. The message says where, what was found, what is allowed."""


class Transient(UserError):
    """An error that may not happen again: a hub that does not answer, a full disk, full memory."""


_STORAGE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
)


def storage_trouble(error: BaseException) -> str:
    """One sentence for a disk that is full, read-only or broken; '' for any other error.

    The errors of safetensors have no number, so its text is searched.
    """
    full = "No space left on device" in str(error) or "Disk quota exceeded" in str(error)
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return f"{error.filename or 'a file'}: {error.strerror}; nothing that was whole is damaged"
    if full or "Read-only file system" in str(error):
        return f"{' '.join(str(error).split())}; nothing that was whole is damaged"
    return ""


_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def without_secrets(text: str) -> str:
    """The text without the hub's access tokens, for logs and reports."""
    for name in _TOKEN_VARIABLES:
        if value := os.environ.get(name):
            text = text.replace(value, "***")
    return _TOKEN.sub("***", text)


USER_CODE: set[str] = set()  # files of the user's own code that is loaded: plugins


def code_trouble(error: BaseException, files: Iterable[str] = USER_CODE) -> str:
    """One sentence for an error within the user's own code: file, line, function; '' for others."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in files]
    if not own:
        return ""
    place = f" in {own[-1].name}" if own[-1].name != "<module>" else ""
    text = " ".join(str(error).split())
    return f"{own[-1].filename}: line {own[-1].lineno}{place}: {type(error).__name__}: {text}"


class Pruned(Exception):
    """Raised for a cell that has no meaning; the message says why."""


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
