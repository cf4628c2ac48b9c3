"""The shipped profiles as Snakemake merges them: what they say, and what the documents promise."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from snakemake.cli import parse_args

ROOT = Path(__file__).parents[1]
PROFILES = ["profiles/default", "profiles/slurm"]


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


def keys(profile):
    found = yaml.safe_load((ROOT / profile / "config.yaml").read_text())
    return {key: value for key, value in found.items() if not key.startswith("__")}


def asked(*arguments):
    """The settings that Snakemake makes of a command line and its profiles."""
    return parse_args(["--dry-run", *arguments])[1]


def plain(value):
    """A setting with its resources as they were written."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    raw = getattr(value, "raw", None)
    return repr(value) if raw is None else raw


def rules():
    """Memory and time of every rule that has them."""
    found = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for name, body in re.findall(r"rule (\w+):(.*?)(?=\n\s*rule |\Z)", path.read_text(), re.S):
            memory = re.search(r"mem_mb=memory\((\d+)\)", body)
            runtime = re.search(r"runtime=(\d+)", body)
            if memory and runtime:
                found[name] = {"mem_mb": f"{memory[1]} * attempt", "runtime": int(runtime[1])}
    return found


def test_the_profile_for_slurm_has_the_rules_own_values():
    assert keys("profiles/slurm")["set-resources"] == rules()
    assert len(rules()) == 11


@pytest.mark.parametrize("profile", PROFILES)
def test_every_key_of_a_profile_is_in_force_when_it_is_asked_for(profile):
    """`--profile profiles/slurm` reads both, and where both have a key, one of them loses."""
    alone = asked("--workflow-profile", profile)
    together = asked("--profile", "profiles/slurm")
    for key in keys(profile):
        name = key.replace("-", "_")
        assert plain(getattr(together, name)) == plain(getattr(alone, name)), key


def test_no_setting_is_in_two_profiles():
    assert not keys("profiles/default").keys() & keys("profiles/slurm").keys()


def test_no_setting_of_grid_engine_is_in_the_default_profile():
    assert not keys("profiles/default").keys() & keys("profiles/sge").keys()


def test_grid_engine_gets_what_each_rule_asks_for():
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    found = asked("--profile", "profiles/sge")
    assert found.executor == "cluster-generic" and found.set_resource_scopes == {"gpu": "local"}
    assert {"gpu", "mem_mb", "runtime"} == set(plain(found.default_resources)) - {
        "disk_mb",
        "tmpdir",
    }
    submit = found.cluster_generic_submit_cmd
    for name in ("gpu", "mem_mb", "runtime"):
        assert f"{{resources.{name}}}" in submit
    assert Path(found.cluster_generic_status_cmd.split()[1]) == ROOT / "profiles/sge/status.py"


def test_what_is_documented_is_in_force():
    found = asked("--profile", "profiles/slurm")
    assert (found.executor, found.jobs, found.latency_wait) == ("slurm", 100, 60)
    assert plain(found.resources) == {"gpu": 1} and found.set_resource_scopes == {"gpu": "local"}
    assert plain(found.set_resources["distil"]["mem_mb"]) == "16000 * attempt"
    assert plain(found.set_resources["distil"]["runtime"]) == 720
    for both in (found, asked()):
        assert both.retries == 3
        assert both.keep_going and both.rerun_incomplete and both.show_failed_logs
        assert both.scheduler == "greedy"
    assert asked("--profile", "profiles/slurm", "--retries", "5").retries == 5


def test_no_rule_has_retries_of_its_own():
    """They would win over those of the profiles and of the command line."""
    files = [ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")]
    assert len(files) > 10
    for path in files:
        assert "retries:" not in path.read_text(), path
