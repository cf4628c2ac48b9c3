"""A study on a real Grid Engine of two queues: a training killed, and the node lost (sge_up.sh)."""

import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from faults import ROOT, prepare, snakemake
from moments import Gate, gone

from kd.runtime.locks import only_one

UP = ROOT / "tests/faults/sge_up.sh"
SGE = {"SGE_ROOT": "/var/lib/gridengine", "SGE_CELL": "default"}

pytestmark = pytest.mark.sge


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with only_one(Path(tempfile.gettempdir()) / "kd-test-sge.lock", lambda owner: None):
        done = subprocess.run(["sh", str(UP), "up"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no Grid Engine can be put up here: {(done.stdout + done.stderr)[-300:]}")
        yield
        subprocess.run(["sh", str(UP), "down"], check=True)


def sge(*command):
    """What a command of Grid Engine prints."""
    run = subprocess.run(command, env={**os.environ, **SGE}, capture_output=True, text=True)
    return run.stdout


def jobs():
    """The numbers of the jobs that qstat lists."""
    return re.findall(r"^ *(\d+) ", sge("qstat"), flags=re.MULTILINE)


def lose_the_node():
    """End all that runs of the node at once: its daemon, shepherds, the processes of jobs."""
    killed = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (process / "cmdline").read_bytes()
            variables = (process / "environ").read_bytes().split(b"\0")
            of_job = any(text.startswith(b"SGE_TASK_ID=") for text in variables)
            if of_job or b"sge_execd" in name or b"sge_shepherd" in name:
                os.kill(int(process.name), 9)
                killed.append(int(process.name))
    gone(*killed)


def test_every_rule_with_a_training_killed_and_the_node_lost(tmp_path):
    """From a teacher that is there to the report; the numbers are those of one machine."""
    (tmp_path / "prepared").mkdir()
    prepared = prepare(tmp_path / "prepared", train=96, epochs=2)
    undisturbed = prepared.copy(tmp_path / "alone").finish_runs().numbers()
    place = prepared.copy(tmp_path / "there")
    profile = yaml.safe_load((ROOT / "profiles/sge/config.yaml").read_text())
    memory = {rule: {"mem_mb": 900} for rule in ("distil", "evaluate")}
    profile |= {"latency-wait": 5, "seconds-between-status-checks": 2, "set-resources": memory}
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))

    folder, arguments = place.study.parent, ("--profile", str(tmp_path / "profile"))
    with Gate(tmp_path / "gate") as gate:
        variables = {"KD_CHECKPOINT_SECONDS": "0", **gate.environment(), **SGE}
        head = snakemake(folder, place.study, *arguments, **variables)
        gate.held(head, count=2)
        sge("qdel", jobs()[0])
        lost = gate.held(head, count=3)
        lose_the_node()
        assert len(lost) == 3
        gate.open()
        subprocess.run(["sh", str(UP), "execd"], check=True, capture_output=True)
        text = head.communicate()[0]
    assert head.returncode == 0, text
    assert text.count("Trying to restart") == 1, "Grid Engine itself queues the lost jobs again"
    logs = [path.read_text() for path in place.layout.results.glob("runs/*/log/distil.log")]
    assert all("going on after" in log for log in logs), logs
    assert place.numbers() == undisturbed
    assert (folder / "results/studies/test/report.html").is_file()
    place.assert_tidy()
