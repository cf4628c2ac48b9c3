"""Which GPU a local job takes: a lock file for every slot of every GPU, held until the job ends."""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kd.errors import UserError

JOBS_PER_GPU = "KD_JOBS_PER_GPU"  # environment variable: jobs that share one GPU
_held: list[Any] = []  # lock files of this process; they are free when it ends, however it ends


def jobs_per_gpu() -> int:
    """How many jobs share a GPU: 1, or what the environment says.

    Raises:
        UserError: that is no count.
    """
    text = os.environ.get(JOBS_PER_GPU, "1")
    if not (text.isdecimal() and int(text) > 0):
        raise UserError(f"{JOBS_PER_GPU}: found {text!r}, allowed: a whole number from 1")
    return int(text)


def slots_folder() -> Path:
    """This user's lock files; another user's could not be opened."""
    return Path(tempfile.gettempdir()) / f"kd-gpus-{os.getuid()}"


def take_slot(
    names: Sequence[str],
    each: int,
    folder: Path,
    waiting: Callable[[str], None],
    pause: float = 1.0,
) -> int:
    """Index of a device with a free slot, of `each` slots a device; emptier devices come first.

    The slot is a lock on a file in `folder`, held until this process ends.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        for slot in range(each):
            for index, name in enumerate(names):
                handle = (folder / f"{name}.{slot}").open("a")
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    handle.close()
                    continue
                _held.append(handle)
                return index
        waiting(f"waiting for a GPU: all {each * len(names)} slots are taken")
        time.sleep(pause)
