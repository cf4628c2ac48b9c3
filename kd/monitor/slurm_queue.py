"""Why SLURM refuses jobs of a study, or lets them wait in its queue."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

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
# Refusals that would be the same in a second try. Others pass, such as a limit of jobs in the
# queue, or no answer. From slurm_errno.c (22.05), sbatch, and Snakemake's plugin (2.8).
_FOR_GOOD = re.compile(
    r"invalid (account|partition|qos|feature|wckey|license|generic resource|gres|node name|option)"
    r"|invalid .* specification|unrecognized option|no partition specified"
    r"|account .* appears to be invalid|access/permission denied|not permitted to use"
    r"|requested (time limit is invalid|node configuration is not available|nodes not in this)"
    r"|memory (specification can ?not|required by task is not available)"
    r"|more processors requested than permitted|slurm_extra",
    re.IGNORECASE,
)


def refusal(message: str) -> str:
    """Why SLURM refused a job for good, of what Snakemake's plugin says; empty if it did not.

    A job that was refused for good would be refused again.
    """
    head = re.match(
        r"SLURM sbatch failed\. The error message was '|Job submission failed .*?: ", message
    )
    if not head:
        return ""
    said = message[head.end() :].partition("'.\n    sbatch call:")[0]
    said = re.sub(r"sbatch: error: (Batch job submission failed: )?", "", said)
    reason = "; ".join(line.strip() for line in said.splitlines() if line.strip())
    return reason if _FOR_GOOD.search(reason) else ""


def waiting(here: Path) -> list[dict[str, Any]]:
    """Why jobs that were submitted from the folder `here` wait: a row for each reason.

    A row has `reason` (as `squeue` has it), `jobs` (how many), and `advice` (what to do about it,
    empty where it passes by itself or is not known). There are none where no job was submitted to
    SLURM, or `squeue` gives no answer within five seconds.
    """
    if not (here / _LOGS).is_dir():
        return []
    command = ["squeue", "--me", "--noheader", "--states=PENDING", "--format=%Z|%r"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=5, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [line.rpartition("|") for line in os.fsdecode(done.stdout).splitlines()]
    reasons = Counter(reason for folder, _, reason in rows if Path(folder) == here.resolve())
    return [_row(reason.replace("_", " "), count) for reason, count in sorted(reasons.items())]


def _row(reason: str, count: int) -> dict[str, Any]:
    advice = [text for start, text in _ADVICE.items() if reason.startswith(start)]
    return {"reason": reason, "jobs": count, "advice": (advice or [""])[0]}


def waiting_text(row: dict[str, Any]) -> str:
    """A row of `waiting` as a sentence."""
    jobs = "1 job waits" if row["jobs"] == 1 else f"{row['jobs']} jobs wait"
    sentence = f"{jobs} in the queue of SLURM ({row['reason']})"
    return f"{sentence}: {row['advice']}" if row["advice"] else sentence
