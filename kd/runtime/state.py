"""The state file of a step: which process runs it, or why it ended early."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from kd.runtime import bucket
from kd.runtime.errors import UserError
from kd.runtime.files import read_json, write_json

STATE = "state.json"
SILENCE = 300.0  # after this many seconds without a sign of life, a step elsewhere counts as dead
# Of a run, in the order in which they are shown. A stopped one was asked to end.
STATES = ("done", "running", "stopped", "failed", "missing")


def write_state(folder: Path, **state: Any) -> None:
    """Write the state file of a run or teacher."""
    write_json(folder / STATE, {**state, "time": time.time()})
    bucket.put(folder / STATE)


def this_process() -> dict[str, Any]:
    """What a state file says about the process that writes it."""
    pid = os.getpid()
    facts = {"host": socket.gethostname(), "pid": pid, "machine": _machine(), "began": _began(pid)}
    return {key: value for key, value in facts.items() if value is not None}


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of a run or teacher that is not done: running, stopped, failed; None: not known.

    A process of this machine counts as running as long as it lives. One of another machine counts
    as killed after `SILENCE` seconds without a sign of life.
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
    if state["state"] != "running":
        return state
    quiet = abs(time.time() - state["time"])  # the other machine's clock may be ahead
    lives = _lives(state)
    if lives is False or (lives is None and quiet > SILENCE):
        where = f"{state.get('step')} on {state.get('host')}, {state.get('phase')}"
        why = "no sign of life" if lives is None else f"its process {state.get('pid')} is gone"
        state |= {"state": "failed", "error": f"killed: {why} for {quiet:.0f} s ({where})"}
    return state


def _lives(state: dict[str, Any]) -> bool | None:
    """Whether the process of a state file lives; None if this machine cannot know."""
    if state.get("host") != socket.gethostname():
        return None
    if not is_alive(state.get("pid")):
        # Another container or machine of the same name, or this one before a restart, has
        # process ids of its own.
        return False if state.get("machine") == _machine() else None
    if "began" in state and state["began"] != _began(state["pid"]):
        return False if state.get("machine") == _machine() else None
    return True


def _machine() -> str | None:
    """Where a process number means the same process: this boot, this container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not on Linux
        return None


def _began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks. Its id may belong to another process later."""
    try:
        return _stat(pid)[19]
    except (OSError, IndexError):
        return None


def _stat(pid: object) -> list[str]:
    """The fields of /proc/PID/stat from the third on; the second, a name, may hold anything."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()


def is_alive(pid: object) -> bool:
    """Whether a process of this machine runs.

    A zombie does not count. Where the first process of a container does not reap orphans, zombies
    stay in the list of processes for ever.
    """
    try:
        os.kill(int(str(pid)), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:  # not on Linux
        return True
