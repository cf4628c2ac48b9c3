"""Shows how far a long step is: a bar on a terminal, plain lines elsewhere, a file for `status`.

The state file also says how a step ended when it did not end well: `kd status` reads it.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kd.errors import UserError, without_secrets
from kd.files import only_one, read_json, remove_leftovers, write_json
from kd.signals import Stopped

STATE = "state.json"
LOCK = ".lock"
_BEAT = 20.0  # seconds between two signs of life
SILENCE = 300.0  # after this many seconds without one, a running step counts as dead


class Progress:
    """Counts steps of one phase; `note` is shown behind the count."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.step = folder, step
        self.phase, self.total, self.done, self.note = "starting", 0, 0, ""
        self.waited = False  # another process worked here before: it may have done it all
        self._bar: tqdm[Any] | None = None
        self._written = self._printed = 0.0
        self._write()

    def start(self, phase: str, total: int, done: int = 0) -> None:
        """Begin a phase of `total` steps, of which an earlier job has `done` some."""
        self.phase, self.total, self.done, self.note = phase, total, done, ""
        self._printed = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=phase, leave=False)
        else:
            going_on = f", going on after {done}" if done else ""
            print(f"{phase}: {total} steps{going_on}", flush=True)
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
        self.beat()
        if self.done == self.total and self._bar is not None:
            self._bar.close()
            self._bar = None

    def wait(self, reason: str) -> None:
        """Nothing moves, for a reason that is said once."""
        if self.phase != reason:
            self.phase, self.total, self.done = reason, 0, 0
            print(reason, flush=True)
        self.beat()

    def beat(self) -> None:
        """A sign of life, now and then."""
        if time.monotonic() - self._written > _BEAT:
            self._write()

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
    """Mark `folder` as being worked on, by one process at a time; a failure stays there with its
    last error line.

    A second process (of another workflow on the same results, or one that a killed one left) waits.
    """

    def waiting(owner: str) -> None:
        if not said:
            said.append(owner)
            print(f"{folder}: {owner or 'another process'} works on it; waiting", flush=True)

    said: list[str] = []
    with only_one(folder / LOCK, waiting) as waited:
        try:
            remove_leftovers(folder)
            progress = Progress(folder, step)
            progress.waited = waited
            yield progress
        except BaseException as error:
            line = str(error) if isinstance(error, UserError | Stopped) else _last_line(error)
            with suppress(OSError):  # a full disk must not hide what happened
                write_state(folder, state="failed", step=step, error=without_secrets(line))
            raise
        (folder / STATE).unlink(missing_ok=True)


def _last_line(error: BaseException) -> str:
    return " ".join(traceback.format_exception_only(error)[-1].split())


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of a run or teacher that is not done: running, failed; None where none is known.

    A step was killed if its process is gone from this machine, or gave no sign of life for long.
    """
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        state = read_json(path)
    except UserError:
        state = None
    if not isinstance(state, dict) or not isinstance(state.get("time"), int | float):
        return {"state": "failed", "error": f"{path}: damaged; the next start writes it again"}
    state.setdefault("state", "failed")
    quiet = abs(time.time() - state["time"])  # the other machine's clock may be ahead
    gone = state.get("host") == socket.gethostname() and not is_alive(state.get("pid"))
    if state["state"] == "running" and (gone or quiet > SILENCE):
        where = f"{state.get('step')} on {state.get('host')}, {state.get('phase')}"
        why = f"its process {state.get('pid')} is gone" if gone else "no sign of life"
        state |= {"state": "failed", "error": f"killed: {why} for {quiet:.0f} s ({where})"}
    return state


def is_alive(pid: object) -> bool:
    """Whether a process of this machine runs.

    One that has ended but that no one has asked about does not: where the first process of a
    container takes no care of orphans, it stays in the list for good.
    """
    try:
        os.kill(int(str(pid)), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:  # not on Linux
        return True
