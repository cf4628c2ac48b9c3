"""Prints whether a job of Grid Engine is running, success or failed, as Snakemake asks it.

A job that qstat no longer lists is looked up in the accounting, which may lag behind by some
seconds. A job of which nothing is found in either for two minutes has failed.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 120.0  # seconds from the first time that nothing is found
_SEEN = Path(".snakemake/sge_missing")  # a file for each such job, of that time


def status(job: str) -> str:
    """What Snakemake understands."""
    listed = _ask("qstat", "-u", "*")
    if listed is None:
        return "running"  # the master does not answer just now: jobs go on without it
    for line in listed.splitlines():
        fields = line.split()
        if fields[:1] == [job]:
            # Grid Engine could not start it, and would hold it for ever.
            return "failed" if "E" in fields[4] else "running"
    accounts = _ask("qacct", "-j", job)
    missing = _SEEN / job
    if accounts is None:
        missing.parent.mkdir(parents=True, exist_ok=True)
        if not missing.exists():
            missing.touch()
        return "running" if time.time() - missing.stat().st_mtime < PATIENCE else "failed"
    missing.unlink(missing_ok=True)
    # A job that was started again has an entry for each start.
    ends = [re.findall(rf"^{name}\s+(\d+)", accounts, re.M) for name in ("failed", "exit_status")]
    return "success" if all(found and found[-1] == "0" for found in ends) else "failed"


def _ask(*command: str) -> str | None:
    """What a command prints; None if it fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    print(status(sys.argv[1]))
