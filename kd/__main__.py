"""Starts the command line, as `python -m kd` and as `kd`."""

import atexit
import os
import signal
import sys
import threading
from types import FrameType

from kd.runtime.signals import BY_HAND, SIGNALS, STATUS, Stopped


def run() -> None:
    """The command line as a process, which ends with the status of `kd.cli.main.main`.

    A signal ends it with one sentence at any time: while modules are imported too, which takes
    seconds on a busy machine. Once the work is done, signals change nothing.
    """
    for number in SIGNALS:
        signal.signal(number, _stop)
    from kd.cli.main import main

    status = main()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if status in (STATUS, BY_HAND):
        _end(status)
    if "torch" in sys.modules and not (sys.getprofile() or sys.gettrace()):
        # What the interpreter does at its end, but not the two seconds that it takes torch apart.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        _end(status)
    sys.exit(status)


def _stop(number: int, frame: FrameType | None) -> None:
    """Before and after a command looks after signals itself."""
    stopped = Stopped(signal.Signals(number).name)
    print(stopped, file=sys.stderr)
    _end(stopped.status)


def _end(status: int) -> None:
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    run()
