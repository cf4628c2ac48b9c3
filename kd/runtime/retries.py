"""An automatic retry of what can only fail again ends at once, with the same sentence.

Snakemake tries a failed job again whatever the reason. That is right for a job that was killed, or
met a full disk; a loss that is not finite, or a user's mistake, would only cost the training once
more. So the state file of a failure says what it depended on, and a retry that finds the same ends
there. A new start of Snakemake, or a step that is done by hand, always tries again.
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
    """The try before this one failed, and this one would fail in the same way."""


class Attempt:
    """One try at a step: what its outcome depends on, and how the try before it ended."""

    def __init__(self, folder: Path, step: str) -> None:
        self.folder, self.before = folder, read_state(folder) or {}
        start = os.environ.get(START, "")
        self.circumstances = {"start": start, "step": step, "code": _code()} if start else {}

    def depends(self, **facts: str) -> None:
        """Note some more of what the outcome depends on.

        Raises:
            Repeated: the try before this one had all of it in common, and failed for good.
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
        """What the state file of a failure says besides; nothing where a retry may end well."""
        if isinstance(error, Repeated):
            return {key: self.before[key] for key in ("error", "circumstances")}
        if isinstance(error, Transient) or not isinstance(error, UserError):
            return {}
        if not self.circumstances:
            return {}
        _keep_log(self.folder / FIRST_LOG)
        return {"circumstances": self.circumstances}

    def succeeded(self) -> None:
        """Nothing is left of earlier failures."""
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
