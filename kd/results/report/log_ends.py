"""The last lines of the logs of runs, for the report, where the logs are beside it."""

from collections.abc import Sequence
from pathlib import Path

from kd.runtime.errors import without_secrets
from kd.study.paths import log_file

TOTAL = 1_500_000  # bytes that the logs of one report may take
FAILED, DONE = 4000, 800  # bytes of one log at most


def log_ends(runs: Path, ids: Sequence[str], statuses: Sequence[str]) -> list[str]:
    """The end of each run's log, in whole lines; '' where there is none.

    The log is that of the training, or of the evaluation where that failed. Logs of runs that
    failed may take half of TOTAL, and all others share the rest.

    Args:
        runs: the folder of all runs.
        ids: the runs.
        statuses: the status of each.
    """
    failed = [status in ("failed", "stopped") for status in statuses]
    share = {
        bad: min(most, TOTAL // 2 // max(1, failed.count(bad)))
        for bad, most in ((True, FAILED), (False, DONE))
    }
    return [
        _end(_log_of(runs / run, bad), share[bad]) for run, bad in zip(ids, failed, strict=True)
    ]


def _log_of(run: Path, failed: bool) -> Path:
    training, evaluation = (log_file(run, step) for step in ("distil", "evaluate"))
    try:
        later = failed and evaluation.stat().st_mtime >= training.stat().st_mtime
    except OSError:
        return training
    return evaluation if later else training


def _end(log: Path, size: int) -> str:
    """The last whole lines of a file, `size` bytes at most."""
    try:
        with log.open("rb") as file:
            start = max(0, file.seek(0, 2) - size)
            file.seek(start)
            text = file.read(size).decode(errors="replace")
    except OSError:
        return ""
    lines = text.replace("\r", "\n").splitlines()
    whole = lines[1:] if start and len(lines) > 1 else lines
    return without_secrets("\n".join(line for line in whole if line.strip()))
