"""Locks between processes."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kd.runtime.files import make_folder

_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)  # a file system without them


def try_lock(file: int) -> bool:
    """Lock an open file until it is closed. False if another process has locked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def only_one(path: Path, waiting: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file `path`; yields whether this process had to wait for it.

    `waiting` is called every second with the name of the process that holds it. The lock ends with
    its process, however that ends. On a file system without locks nothing is locked. (The
    `filelock` package does not say who holds a lock. On a file system without locks it falls back
    to files that a killed process leaves locked.)
    """
    make_folder(path.parent)
    waited = False
    with path.open("ab+") as handle:
        try:
            while not try_lock(handle.fileno()):
                handle.seek(0)
                waiting(handle.read().decode(errors="replace").strip())
                waited = True
                time.sleep(1)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        with suppress(OSError):  # on a full disk the name of the holder is left out
            handle.truncate(0)
            os.write(handle.fileno(), f"{socket.gethostname()}, process {os.getpid()}\n".encode())
        yield waited
