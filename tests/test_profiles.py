"""The shipped profiles say what the rules say, and what the documents promise."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SLURM = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
DEFAULT = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())


def rules() -> dict[str, dict[str, int]]:
    """Memory and time of every rule that has them."""
    found = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for name, body in re.findall(r"rule (\w+):(.*?)(?=\n\s*rule |\Z)", path.read_text(), re.S):
            memory = re.search(r"mem_mb=memory\((\d+)\)", body)
            runtime = re.search(r"runtime=(\d+)", body)
            if memory and runtime:
                found[name] = {"memory": int(memory[1]), "runtime": int(runtime[1])}
    return found


def test_the_profile_for_slurm_has_the_rules_own_values():
    said = {
        name: {"memory": int(row["mem_mb"].removesuffix(" * attempt")), "runtime": row["runtime"]}
        for name, row in SLURM["set-resources"].items()
    }
    assert said == rules()
    assert len(said) == 6


@pytest.mark.parametrize("profile", [DEFAULT, SLURM])
def test_a_failure_stops_no_other_run_and_is_tried_again(profile):
    assert profile["keep-going"] and profile["rerun-incomplete"]
    assert profile["retries"] >= 1
    assert profile["scheduler"] == "greedy"
