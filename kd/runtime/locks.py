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


@contextmanager
def only_one(path: Path, waiting: Callable[[str], None]) -> Iterator[bool]:
    """Hold the lock file `path`, after whoever has it; yields whether someone had it.

    `waiting` is called every second with who that is. The lock ends with its process, however it
    ends. A file system without locks gives none. (The `filelock` package does not say who holds a
    lock, and changes to files that a killed process leaves locked where a file system has none.)
    """
    make_folder(path.parent)
    waited = False
    with path.open("ab+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.seek(0)
                waiting(handle.read().decode(errors="replace").strip())
                waited = True
                time.sleep(1)
                continue
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            break
        with suppress(OSError):  # on a full disk no one learns who holds it
            handle.truncate(0)
            os.write(handle.fileno(), f"{socket.gethostname()}, process {os.getpid()}\n".encode())
        yield waited
