"""Files and folders that a user names: whether they can be read, before anything runs."""

import stat
from pathlib import Path

from kd.runtime.errors import UserError

_POINTERS = {
    b"version https://git-lfs.github.com/": ("Git LFS", "`git lfs pull`"),
    b"/annex/objects/": ("git-annex", "`git annex get .`"),
}


def expanded(path: str) -> Path:
    """The path, with `~` filled in.

    Raises:
        UserError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path!r}: {error}") from None


def readable(path: Path, need: str = "download or copy it again") -> Path:
    """The path, after checking that it is a file that can be read, and no pointer to one.

    Raises:
        UserError: it is missing, a link to nothing, a folder, unreadable, or a pointer to a file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path}: found a folder or device, allowed: a file; {need}")
        with path.open("rb") as handle:
            start = handle.read(max(map(len, _POINTERS)))
    except FileNotFoundError:
        if path.is_symlink():
            target = path.readlink()
            raise UserError(f"{path}: a link to {target}, which is missing; {need}") from None
        raise UserError(f"{path}: missing; {need}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    for first, (kind, cure) in _POINTERS.items():
        if start.startswith(first):
            raise UserError(
                f"{path}: a {kind} pointer, not the file itself; {cure} in its folder fetches it"
            )
    return path


def is_folder(path: Path) -> bool:
    """Whether the path is a folder; False for a name that no file can have."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
