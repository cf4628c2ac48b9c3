"""Starts the command line, as `python -m kd` and as `kd`."""

import os
import sys

_STOPPED = (75, 130)  # as in kd.runtime.signals, which is not there yet when ctrl-C comes early


def run() -> None:
    """The command line as a process, which ends with the status of `kd.cli.main.main`."""
    try:
        from kd.cli.main import main

        status = main()
    except KeyboardInterrupt:  # before a command looks after its signals
        print("stopped by ctrl-C", file=sys.stderr)
        status = 130
    if status in _STOPPED:  # all is tidy: to take torch apart would cost seconds on a busy machine
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    run()
