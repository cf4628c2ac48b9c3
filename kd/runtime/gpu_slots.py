"""Which GPU a local job takes: a lock file for every slot of every GPU, held until the job ends."""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from kd.runtime.errors import UserError
from kd.runtime.locks import try_lock

JOBS_PER_GPU = "KD_JOBS_PER_GPU"  # environment variable: jobs that share one GPU
LOCKS = "KD_GPU_LOCKS"  # environment variable: the folder of the lock files
_held: dict[Path, int] = {}  # locked files of this process, which are freed when it ends


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

    TMPDIR is tried last, because schedulers give each job its own.

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
    """Why lock files cannot be kept in `folder`, which is made if it is missing; '' if they can.

    In a folder that others can write to, another user could make a lock file first: as a link to a
    file of this user, or with a lock that is never released.
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
    """Index of a device with a free slot; devices with fewer slots taken come first.

    The slot is a lock on a file in `folder`, held until this process ends. A process that has a
    slot of one of these devices keeps it: `kd retrain` trains several students in turn.

    Args:
        names: of the devices, the same in every process.
        each: slots of a device.
        folder: where the lock files are.
        waiting: called with the reason after each round in which all slots were taken.
        pause: seconds between two rounds.
    """
    files = [name.replace("/", "-") for name in names]
    slots = {folder / f"{name}.{k}": i for k in range(each) for i, name in enumerate(files)}
    for path, index in slots.items():
        if path in _held:
            return index
    while True:
        for path, index in slots.items():
            file = _open(path)
            if try_lock(file):
                _held[path] = file
                return index
            os.close(file)
        waiting(f"waiting for a GPU: all {len(slots)} slots in {folder} are taken")
        time.sleep(pause)
