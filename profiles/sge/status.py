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
# `failed` of a job that was moved, queued again, or lost with its node and then queued again.
_STARTED_AGAIN = ("24", "25", "19")


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
    # An entry for each start. Where Grid Engine has started the job again, that of the last may
    # come later than those of the starts before.
    entries = [_entry(text) for text in (_ask("qacct", "-j", job) or "").split("=====\n")]
    ends = [entry for entry in entries if entry.get("failed", "24") not in _STARTED_AGAIN]
    missing = _SEEN / job
    if not ends:
        missing.parent.mkdir(parents=True, exist_ok=True)
        if not missing.exists():
            missing.touch()
        return "running" if time.time() - missing.stat().st_mtime < PATIENCE else "failed"
    missing.unlink(missing_ok=True)
    good = ends[-1]["failed"] == ends[-1].get("exit_status") == "0"
    return "success" if good else "failed"


def _entry(text: str) -> dict[str, str]:
    """The two numbers of an entry of the accounting that say how a job ended."""
    return dict(re.findall(r"^(failed|exit_status)\s+(\d+)", text, re.M))


def _ask(*command: str) -> str | None:
    """What a command prints; None if it fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)  # noqa: S603
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


if __name__ == "__main__":
    print(status(sys.argv[1]))
