"""Ends a job on a signal, with its state saved and an exit status that means "try again".

SLURM sends SIGTERM at pre-emption, `scancel` and a time limit, and SIGUSR1 some time before if
`--signal` asks for it. SIGINT is ctrl-C.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STATUS = 75  # EX_TEMPFAIL of sysexits.h: try again
BY_HAND = 130  # what shells give for ctrl-C


class Stopped(BaseException):
    """The job was asked to end; the message says by what, and what was saved."""

    def __init__(self, by: str, then: str = "") -> None:
        by_hand = by == signal.SIGINT.name
        super().__init__(f"stopped by {'ctrl-C' if by_hand else by}{then}")
        self.status = BY_HAND if by_hand else STATUS


_waiting = False  # whether a training is running, which stops after its current step
_asked = ""
_last = (0, 0.0)  # the last signal, and when it came
# Within these seconds a repeated signal counts once: a scheduler may send it to all processes of a
# job, and the Snakemake of the job passes it on. A second ctrl-C always counts.
_SAME = 5.0


@contextmanager
def watched() -> Iterator[None]:
    """Turn the signals into `Stopped` in this block, so that files and states are cleaned up.

    Only the main thread of a process gets signals. In another thread this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _last
    _last = (0, 0.0)
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handle(number: int, frame: FrameType | None) -> None:
    global _asked, _last
    (last, since), _last = _last, (number, time.monotonic())
    if number == last != signal.SIGINT and _last[1] - since < _SAME:
        return
    again, _asked = bool(_asked), signal.Signals(number).name
    if not _waiting or again:
        raise Stopped(_asked)


@contextmanager
def deferred() -> Iterator[Callable[[], str]]:
    """Within the block the first signal only sets what the yielded function returns. The second one
    raises `Stopped`."""
    global _waiting, _asked, _last
    _waiting, _asked, _last = True, "", (0, 0.0)
    try:
        yield lambda: _asked
    finally:
        _waiting = False
