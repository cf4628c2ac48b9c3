"""How a job begins: its device, and whether another process has done its work meanwhile."""

from pathlib import Path

import torch

from kd.jobs.record import device_name
from kd.runtime.device import choose_device, make_deterministic
from kd.runtime.progress import Progress
from kd.runtime.seals import check_seal, emptied, read_record
from kd.study.paths import MODEL


def prepare_device(threads: int, progress: Progress) -> torch.device:
    """The device of this job, set up for `threads` CPU threads and repeatable numbers."""
    device = choose_device(progress.wait)
    make_deterministic(device, threads)
    progress.attempt.depends(device=device_name(device))
    return device


def made_meanwhile(folder: Path, record: str) -> bool:
    """Whether another process, for which this one waited, has made the model and its record.

    Snakemake removes both before a job starts, so what is there was made after that.
    """
    if not ((folder / MODEL).is_dir() and (folder / record).is_file()):
        return False
    if not emptied(folder / MODEL):  # a student that its study does not keep
        check_seal(folder / MODEL)
    read_record(folder / record)
    return True
