"""Shows how far a long step is: a bar on a terminal, plain lines elsewhere, a file for `status`.

The state file also says how a step ended when it did not end well: `kd status` reads it.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kd.errors import UserError
from kd.files import read_json, write_json

STATE = "state.json"
_BEAT = 20.0  # seconds between two signs of life
SILENCE = 300.0  # after this many seconds without one, a running step counts as dead


class Progress:
    """Counts steps of one phase; `note` is shown behind the count."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.step = folder, step
        self.phase, self.total, self.done, self.note = "starting", 0, 0, ""
        self._bar: tqdm[Any] | None = None
        self._written = self._printed = 0.0
        self._write()

    def start(self, phase: str, total: int) -> None:
        """Begin a phase of `total` steps."""
        self.phase, self.total, self.done, self.note = phase, total, 0, ""
        self._printed = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, desc=phase, leave=False)
        else:
            print(f"{phase}: {total} steps", flush=True)
        self._write()

    def advance(self, note: str = "") -> None:
        """One step is done."""
        self.done += 1
        self.note = note or self.note
        now = time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self.note, refresh=False)
            self._bar.update()
        elif now - self._printed > _BEAT or self.done == self.total:
            self._printed = now
            print(f"{self.phase}: {self.done}/{self.total} {self.note}".rstrip(), flush=True)
        if now - self._written > _BEAT:
            self._write()
        if self.done == self.total and self._bar is not None:
            self._bar.close()
            self._bar = None

    def _write(self) -> None:
        self._written = time.monotonic()
        write_state(
            self.folder,
            state="running",
            step=self.step,
            phase=self.phase,
            done=self.done,
            total=self.total,
            host=socket.gethostname(),
            pid=os.getpid(),
        )


def write_state(folder: Path, **state: Any) -> None:
    """Write the state file of a run or teacher."""
    write_json(folder / STATE, {**state, "time": time.time()})


@contextmanager
def step_state(folder: Path, step: str) -> Iterator[Progress]:
    """Mark `folder` as being worked on; a failure stays there with its last error line."""
    try:
        yield Progress(folder, step)
    except BaseException as error:
        line = str(error) if isinstance(error, UserError) else _last_line(error)
        write_state(folder, state="failed", step=step, error=line)
        raise
    (folder / STATE).unlink(missing_ok=True)


def _last_line(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of a run or teacher that is not done: running, failed; None where none is known.

    A step that gave no sign of life for long was killed: it counts as failed.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    state = read_json(path)
    if not isinstance(state, dict) or not isinstance(state.get("time"), int | float):
        raise UserError(f"{path}: not a state that this program wrote; delete it")
    state.setdefault("state", "failed")
    quiet = time.time() - state["time"]
    if state.get("state") == "running" and quiet > SILENCE:
        where = f"{state.get('step')} on {state.get('host')}, {state.get('phase')}"
        state |= {
            "state": "failed",
            "error": f"killed: no sign of life for {quiet:.0f} s ({where})",
        }
    return state
