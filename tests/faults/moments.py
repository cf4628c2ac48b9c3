"""Moments of a process, counted by what it does to files: the same on a fast and on a busy machine.

Python's audit events come before each change of a file. A process is killed at one of them, or held
until the test opens its gate. One that Snakemake starts finds the gate in its environment
(hooks/sitecustomize.py).
"""

import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import Popen
from typing import Any

GATE = "KD_TEST_GATE"
HOOKS = Path(__file__).parent / "hooks"
# Event: which of its arguments is the path that changes.
_CHANGES = {"open": 0, "os.rename": 1, "os.mkdir": 0, "os.remove": 0, "os.rmdir": 0}


def _changed(event: str, arguments: tuple[Any, ...]) -> str:
    """The path that is about to change; empty where none is."""
    if event not in _CHANGES or (event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        return ""
    path = arguments[_CHANGES[event]]
    return os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""


class Changes:
    """Counts the changes below a folder that a forked process makes; kills it at one of them."""

    def __init__(self, folder: Path, last: int = 0) -> None:
        self.folder, self.last = str(folder.absolute()), last
        self._count = get_context("fork").Value("i", 0)

    @property
    def count(self) -> int:
        return self._count.value

    def watch(self) -> None:
        """From now on, in this process."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if not _changed(event, arguments).startswith(self.folder):
                return
            self._count.value += 1
            if self._count.value == self.last:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)


class Gate:
    """Holds each process that is about to put a file called `name` in place for the `count`th time,
    of those whose content has `text` where that is given.

    A training that saves its state after every step is held at its second `checkpoint.safetensors`:
    the first is there.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "checkpoint.safetensors",
        count: int = 2,
        text: str = "",
    ) -> None:
        self.folder, self.name, self.count, self.text = folder, name, count, text
        self._opened = -1

    @classmethod
    def parse(cls, text: str) -> "Gate":
        """What `environment` gave."""
        folder, name, count, content = text.rsplit(":", 3)
        return cls(Path(folder), name, int(count), content)

    def environment(self) -> dict[str, str]:
        """For a process that another one starts."""
        return {GATE: f"{self.folder}:{self.name}:{self.count}:{self.text}"}

    def watch(self) -> None:
        """From now on, in this process."""
        left = self.count

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event != "os.rename" or Path(os.fsdecode(arguments[1])).name != self.name:
                return
            if self.text and self.text not in Path(os.fsdecode(arguments[0])).read_text():
                return
            left -= 1
            if left == 0:
                # The numbers of the signals that come while it is held go to this file.
                held = self.folder / f"held-{os.getpid()}"
                signals = os.open(held, os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK)
                if threading.current_thread() is threading.main_thread():
                    signal.set_wakeup_fd(signals, warn_on_full_buffer=False)
                with (self.folder / "gate").open("rb"):  # a FIFO: waits for who opens its other end
                    pass

        sys.addaudithook(hook)

    def __enter__(self) -> "Gate":
        self.folder.mkdir()
        os.mkfifo(self.folder / "gate")
        return self

    def held(self, *processes: "Popen[str] | BaseProcess", count: int = 1) -> list[int]:
        """Wait until `count` are held, as long as these processes run; their ids."""
        until(lambda: len(self._held()) >= count, *processes)
        return self._held()

    def signalled(self, *processes: "Popen[str] | BaseProcess") -> None:
        """Wait until each that is held has got a signal, as long as these processes run."""
        files = list(self.folder.glob("held-*"))
        until(lambda: all(path.stat().st_size for path in files), *processes)

    def _held(self) -> list[int]:
        return sorted(int(path.name.removeprefix("held-")) for path in self.folder.glob("held-*"))

    def open(self) -> None:
        """Let all go on, and hold no one any more."""
        if self._opened < 0:
            self._opened = os.open(self.folder / "gate", os.O_RDWR)

    def __exit__(self, *_: object) -> None:
        self.open()
        os.close(self._opened)


def until(condition: Callable[[], object], *processes: "Popen[str] | BaseProcess") -> None:
    """Wait for what these processes are to bring about, however long it takes them."""
    while not condition():
        if not any(map(_runs, processes)) and not condition():
            raise AssertionError(f"all have ended: {[ended(process) for process in processes]}")
        time.sleep(0.01)  # decides nothing: it leaves the core to them


def gone(*processes: int) -> None:
    """Wait for the end of processes that are not this one's children."""
    for process in processes:
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        select.select([handle], [], [])
        os.close(handle)


def _runs(process: "Popen[str] | BaseProcess") -> bool:
    return (process.poll() if isinstance(process, Popen) else process.exitcode) is None


def ended(process: "Popen[str] | BaseProcess") -> str:
    """How a process has ended, and what it has said where that can be read."""
    if isinstance(process, Popen):
        text = process.stdout.read() if process.stdout else ""
        return f"status {process.returncode}: {text}"
    return f"status {process.exitcode}"
