"""What a command prints, and what of its caller's environment it does not follow."""

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def own_console() -> Iterator[Callable[[], bool]]:
    """Within it, output to files and pipes is UTF-8 whatever the locale is, a character that a
    terminal does not have ends nothing, and neither does a log for which the disk has no room.

    Yields a function that says whether the disk had no room for some of stdout.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lasting(stream) for stream in before)
    # matplotlib refuses at once a notebook's way to draw that is not installed here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield lambda: _has_lost(sys.stdout)
    finally:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        sys.stdout, sys.stderr = before


def _lasting(stream: TextIO) -> TextIO:
    try:
        file = stream.fileno()
        stream.flush()
    except (OSError, ValueError, AttributeError):  # none, or no file: a notebook's, a test's
        return stream
    raw = _Lossy(file, "wb", closefd=False)
    encoding = stream.encoding if stream.isatty() else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True
    )


def _has_lost(stream: TextIO) -> bool:
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    return isinstance(raw, _Lossy) and raw.lost


class _Lossy(io.FileIO):
    """A file that leaves out what finds no room on its disk, and remembers that it did."""

    lost = False
    _write = io.FileIO.write

    def write(self, data: Any) -> int:
        try:
            return self._write(data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            self.lost = True
            return memoryview(data).nbytes
