"""Which GPU a local job takes: a lock file for every slot of every GPU, held until the job ends.

The `filelock` package would lock as well, but not say whether a folder can hold locks at all.
"""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from kd.runtime.errors import UserError

JOBS_PER_GPU = "KD_JOBS_PER_GPU"  # environment variable: jobs that share one GPU
LOCKS = "KD_GPU_LOCKS"  # environment variable: the folder of the lock files
_held: list[int] = []  # lock files of this process; they are free when it ends, however it ends


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
    """The folder of this user's lock files, which all of the user's jobs on this machine see.

    Schedulers give each job a TMPDIR of its own, so that one comes last.

    Raises:
        UserError: KD_GPU_LOCKS, or every folder that is tried without it, cannot hold locks.
    """
    if asked := os.environ.get(LOCKS):
        candidates = [Path(asked).absolute()]
    else:
        places = ("/dev/shm", "/tmp", "/var/tmp", tempfile.gettempdir())
        candidates = [Path(place) / f"kd-gpus-{os.getuid()}" for place in places]
    reasons = []
    for folder in candidates:
        if not (reason := _obstacle(folder)):
            return folder
        reasons.append(f"{folder}: {reason}")
    raise UserError(
        f"no folder for the locks that keep jobs on different GPUs ({'; '.join(reasons)}); "
        f"{LOCKS} names one: on this machine's own disk, and yours alone"
    )


def _obstacle(folder: Path) -> str:
    """Why lock files cannot be kept in `folder`, which is made if need be; '' where they can.

    In a folder that others can write to, anyone can make a name first: as a link to a file of
    this user, or as a lock that is never released.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            return "not a folder"
        if found.st_uid != os.getuid():
            return "another user's"
        if found.st_mode & 0o022:
            return "others can write to it"
        probe = _open(folder / ".probe")
        try:
            fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(probe)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def take_slot(
    names: Iterable[str],
    each: int,
    folder: Path,
    waiting: Callable[[str], None],
    pause: float = 1.0,
) -> int:
    """Index of a device with a free slot, of `each` slots a device; emptier devices come first.

    The slot is a lock on a file in `folder`, held until this process ends.
    """
    files = [name.replace("/", "-") for name in names]
    while True:
        for slot in range(each):
            for index, name in enumerate(files):
                handle = _open(folder / f"{name}.{slot}")
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                    continue
                _held.append(handle)
                return index
        waiting(f"waiting for a GPU: all {each * len(files)} slots in {folder} are taken")
        time.sleep(pause)
