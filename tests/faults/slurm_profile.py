"""The shipped SLURM profile, made small enough for a test cluster on one machine."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def write_profile(folder: Path, memory: int, gpu: bool, **changes: Any) -> Path:
    """A copy of profiles/slurm that asks for `memory` MB and polls often."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    for resources in profile["set-resources"].values():
        resources["mem_mb"] = re.sub(r"^\d+", str(memory), resources["mem_mb"])
        if not gpu:
            resources["gpu"] = 0
    profile |= {
        "latency-wait": 5,
        "slurm-status-command": "squeue",
        "slurm-init-seconds-before-status-checks": 2,
        "slurm-no-account": True,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(profile))
    return folder
