"""Ends an automatic retry at once, with the same error, where the job can only fail again.

Snakemake retries every failed job. That is right for a job that was killed or met a full disk. For
a loss that is not finite, or a user's mistake, it would only repeat the training. So the state file
of a failure records what the failure depended on, and a retry in the same circumstances stops. A
new start of Snakemake, or a step run by hand, always tries again.
"""

import os
import shutil
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import kd
from kd.runtime.errors import Transient, UserError
from kd.runtime.hashes import file_digest
from kd.runtime.state import read_state

START = "KD_START"  # environment variable: the start of Snakemake that this job belongs to
FIRST_LOG = "failed.log"  # what the first try printed; Snakemake overwrites a job's log


class Repeated(UserError):
    """The previous try failed, and this one would fail in the same way."""


class Attempt:
    """One try at a step: what its outcome depends on, and how the previous try ended."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.before = folder, read_state(folder) or {}
        start = os.environ.get(START, "")
        self.circumstances = {"start": start, "step": step, "code": _code()} if start else {}

    def depends(self, **facts: str) -> None:
        """Add facts that the outcome depends on.

        Raises:
            Repeated: the previous try depended on the same facts, and failed.
        """
        if not self.circumstances:
            return
        self.circumstances |= facts
        if self.circumstances == self.before.get("circumstances"):
            with suppress(OSError):
                print((self.folder / FIRST_LOG).read_text(encoding="utf-8", errors="replace"))
            raise Repeated(
                f"{self.before.get('error')} (an automatic retry would end the same and was not "
                f"made; start snakemake again to try once more)"
            )

    def failed(self, error: BaseException) -> dict[str, Any]:
        """What to add to the state file of a failure; nothing if a retry may succeed."""
        if isinstance(error, Repeated):
            return {key: self.before[key] for key in ("error", "circumstances")}
        if isinstance(error, Transient) or not isinstance(error, UserError):
            return {}
        if not self.circumstances:
            return {}
        _keep_log(self.folder / FIRST_LOG)
        return {"circumstances": self.circumstances}

    def succeeded(self) -> None:
        """Remove what earlier failures left."""
        (self.folder / FIRST_LOG).unlink(missing_ok=True)


@cache
def _code() -> str:
    return file_digest(*sorted(Path(kd.__file__).parent.rglob("*.py")))


def _keep_log(copy: Path) -> None:
    """Copy the file that this process prints to, if it is one."""
    with suppress(OSError):
        sys.stdout.flush()
        log = Path("/proc/self/fd/1").resolve()
        if log.is_file():
            shutil.copyfile(log, copy)
