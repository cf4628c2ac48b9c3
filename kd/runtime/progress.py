"""Shows how far a long step is: a bar on a terminal, plain lines elsewhere, a file for `kd status`.

The state file also says how a step ended if it did not end well.
"""

import math
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from kd.runtime import bucket, retries
from kd.runtime.errors import UserError, code_trouble, without_secrets
from kd.runtime.files import remove_leftovers
from kd.runtime.locks import only_one
from kd.runtime.signals import Stopped
from kd.runtime.state import STATE, this_process, write_state

LOCK = ".lock"
_SHOWN = 20.0  # seconds, at least, between two lines; at most, between two counts in the state file
_BEAT = 60.0  # seconds between the signs of life of a step that counts nothing


class Progress:
    """Counts steps of one phase; `note` is shown behind the count, and the speed in tokens, where
    a step has some."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.step = folder, step
        self.phase, self.total, self.done, self.note = "starting", 0, 0, ""
        self.history: Sequence[dict[str, float]] = ()  # of a training: its losses so far, by row
        self.waited = False  # for another process, which may have done all of the work
        self.attempt = retries.Attempt(folder, step)
        self._first, self._started = 0, time.monotonic()  # of this phase, in this process
        self._tokens = 0  # of a step
        self._bar: tqdm[Any] | None = None
        self._printed = self._written = 0.0
        self.write()

    def start(self, phase: str, total: int, done: int = 0, tokens: int = 0) -> None:
        """Begin a phase of `total` steps of `tokens` each, of which an earlier job has `done`
        some."""
        self.phase, self.total, self.done, self.note = phase, total, done, ""
        self.history = ()
        self._tokens = tokens
        self._first, self._started = done, time.monotonic()
        self._printed = self._started
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, initial=done, desc=phase, leave=False)
        else:
            going_on = f", going on after {done}" if done else ""
            print(f"{phase}: {total} steps{going_on}", flush=True)
        self.write()

    def advance(self, note: str = "") -> None:
        """One step is done."""
        self.done += 1
        self.note = note or self.note
        now = time.monotonic()
        shown = self.note
        if self._tokens:
            shown += f" {self._tokens * self._per_second(now):,.0f} tokens/s"
        if self._bar is not None:
            self._bar.set_postfix_str(shown, refresh=False)
            self._bar.update()
        elif now - self._printed > _SHOWN or self.done == self.total:
            self._printed = now
            print(f"{self.phase}: {self.done}/{self.total} {shown}".rstrip(), flush=True)
        # Often at first, so that a short step is seen too; a long one writes little.
        if now - self._written > min(_SHOWN, max(1.0, (now - self._started) / 4)):
            self.write()
        if self.done == self.total and self._bar is not None:
            self._bar.close()
            self._bar = None

    def _per_second(self, now: float) -> float:
        """Steps per second of this phase, in this process."""
        seconds = now - self._started
        return (self.done - self._first) / seconds if seconds else 0.0

    def wait(self, reason: str) -> None:
        """Show once that the step waits, and why."""
        if self.phase != reason:
            self.phase, self.total, self.done, self._first = reason, 0, 0, 0
            self._tokens = 0
            print(reason, flush=True)
            self.write()

    def write(self) -> None:
        """Write the state file. If the disk is full the step goes on without it."""
        self._written = time.monotonic()
        speed = self._per_second(self._written)
        more: dict[str, Any] = {}
        if self.history:  # JSON has no NaN; the training itself reports it
            finite = [{k: v for k, v in row.items() if math.isfinite(v)} for row in self.history]
            more["history"] = finite
        if self._tokens:
            more["tokens_per_second"] = round(self._tokens * speed, 1)
        with suppress(OSError):
            write_state(
                self.folder,
                state="running",
                step=self.step,
                phase=self.phase,
                done=self.done,
                total=self.total,
                per_second=round(speed, 3),
                **more,
                **this_process(),
            )


@contextmanager
def _signs_of_life(progress: Progress) -> Iterator[None]:
    """Write the state file every minute from a thread, whatever the step does. `kd status` on
    another machine has no other sign of life."""

    def beat() -> None:
        while not over.wait(_BEAT):
            progress.write()

    over, thread = threading.Event(), threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def step_state(folder: Path, step: str) -> Iterator[Progress]:
    """Run the block as the step of `folder`, in one process at a time, with a state file.

    After a failure or a signal the state file stays, with the last line of the error. A second
    process (of another workflow on the same results, or a job whose Snakemake was killed) waits.

    Raises:
        UserError: an automatic retry would fail as the previous try did.
    """

    def waiting(owner: str) -> None:
        if not said:
            said.append(owner)
            print(f"{folder}: {owner or 'another process'} works on it; waiting", flush=True)

    said: list[str] = []
    with only_one(folder / LOCK, waiting) as waited:
        remove_leftovers(folder)
        progress = Progress(folder, step)
        progress.waited = waited
        try:
            with _signs_of_life(progress):
                progress.attempt.depends()
                yield progress
        except BaseException as error:
            with suppress(OSError):  # a full disk must not hide what happened
                ending = {**_ending(error), **progress.attempt.failed(error)}
                write_state(folder, step=step, **ending)
            raise
        (folder / STATE).unlink(missing_ok=True)
        bucket.remove(folder / STATE)
        progress.attempt.succeeded()


def _ending(error: BaseException) -> dict[str, str]:
    known = isinstance(error, UserError | Stopped)
    last = " ".join(traceback.format_exception_only(error)[-1].split())
    line = str(error) if known else code_trouble(error) or last
    state = "stopped" if isinstance(error, Stopped) else "failed"
    return {"state": state, "error": without_secrets(line)}
