"""Makes the output of a command independent of locale, terminal and a full disk."""

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
    """Within the block, output to files and pipes is UTF-8 in every locale. A character that the
    terminal lacks, or a full disk under a log, raises no error.

    Yields a function that says whether some of stdout was lost because the disk was full.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (_lasting(stream) for stream in before)
    # In a notebook it names a backend, which matplotlib refuses where it is not installed.
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
    """A file that drops what does not fit on a full disk, and remembers that it did."""

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
