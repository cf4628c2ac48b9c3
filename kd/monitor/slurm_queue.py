"""Why the jobs of a study wait in the queue of SLURM."""

import subprocess
from collections import Counter
from pathlib import Path

_LOGS = Path(".snakemake/slurm_logs")  # the plugin makes it with the first job
# What to do about a reason of `squeue` that does not pass by itself, by how the reason starts.
_ADVICE = {
    "PartitionTimeLimit": "the partition allows less time than is asked for (`sinfo -o '%P %l'`): "
    "lower `runtime` in the profile, or name another `slurm_partition`",
    "ReqNodeNotAvail": "nodes are down or reserved (`sinfo -R` says why)",
    "Nodes required for job are DOWN": "nodes are down or reserved (`sinfo -R` says why)",
    "Assoc": "a limit of your account (`sacctmgr show assoc user=$USER`)",
    "QOS": "a limit of your quality of service (`sacctmgr show qos`)",
    "JobHeld": "held: `scontrol release JOB` lets a job start",
}


def waiting(here: Path) -> list[str]:
    """One sentence for each reason why jobs that were submitted from the folder `here` wait.

    Empty where no job was submitted to SLURM, or `squeue` gives no answer.
    """
    if not (here / _LOGS).is_dir():
        return []
    command = ["squeue", "--me", "--noheader", "--states=PENDING", "--format=%Z|%r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rpartition("|") for line in done.stdout.splitlines()]
    reasons = Counter(reason for folder, _, reason in rows if Path(folder) == here.resolve())
    return [_sentence(reason, count) for reason, count in sorted(reasons.items())]


def _sentence(reason: str, count: int) -> str:
    jobs = "1 job waits" if count == 1 else f"{count} jobs wait"
    reason = reason.replace("_", " ")
    advice = [text for start, text in _ADVICE.items() if reason.startswith(start)]
    return ": ".join([f"{jobs} in the queue of SLURM ({reason})", *advice[:1]])
