"""SLURM with accounting, as real clusters have it: slurmdbd and MariaDB (slurm_accounting.sh).

The state of jobs comes from sacct. A time limit shorter than a training, a job that a more urgent
one takes the place of, and partitions that refuse the jobs or never start them.
"""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import SLURM_UP
from faults import ROOT, environment, prepare, snakemake
from moments import Gate, until
from slurm_profile import write_profile

from kd.runtime.locks import only_one

ACCOUNTING = ROOT / "tests/faults/slurm_accounting.sh"
# Jobs of the partition `urgent` take the place of others. `cpu` has no GPU, `brief` little time.
MORE = f"""
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=urgent Nodes=kd[1-2] MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=brief Nodes=kd[1-2] MaxTime=1 State=UP
NodeName=kd3 NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port=17003 RealMemory=4000
PartitionName=cpu Nodes=kd3 MaxTime=INFINITE State=UP
"""

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory):
    if not shutil.which("slurmdbd") or not shutil.which("mariadbd"):
        pytest.skip("no slurmdbd and mariadb-server (Debian packages of these names)")
    more = tmp_path_factory.mktemp("conf") / "more.conf"
    more.write_text(MORE)
    with only_one(Path(tempfile.gettempdir()) / "kd-test-slurm.lock", lambda owner: None):
        commands = ["bash", str(SLURM_UP), "up"], ["sh", str(ACCOUNTING), "up", str(more)]
        try:
            for command in commands:
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                if done.returncode:
                    pytest.skip(f"no SLURM with accounting here: {done.stdout[-300:]}")
            yield
        finally:
            subprocess.run(["bash", str(SLURM_UP), "purge"], check=True)
            subprocess.run(["sh", str(ACCOUNTING), "down"], check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared"), train=200, epochs=2)


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    return prepared.copy(tmp_path_factory.mktemp("undisturbed")).finish_runs().numbers()


def start(place, folder, gate=None, **more):
    """The trainings and evaluations, with sacct asked for the state of jobs."""
    given = {"slurm_account": "research", "mem_mb": 900, "runtime": 60}
    settings = {
        "slurm-status-command": "sacct",
        "slurm-no-account": False,
        "jobs": 1,
        "default-resources": given | more.pop("resources", {}),
    }
    profile = write_profile(folder / "profile", memory=900, gpu=True, **settings, **more)
    held = gate.environment() if gate else {}
    arguments = ("--profile", str(profile), "--until", "evaluate")
    return snakemake(folder, place.study, *arguments, KD_CHECKPOINT_SECONDS="0", **held)


def asked(*command):
    """The lines that a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def states():
    """The states of all jobs that the accounting knows, without those of their steps."""
    lines = asked("sacct", "--allocations", "--noheader", "--parsable2", "--duplicates", "-oState")
    return [line.split()[0] for line in lines if line]


def gone_on(place):
    logs = [path.read_text() for path in place.layout.results.glob("runs/*/log/distil.log")]
    return any("going on after" in log for log in logs)


def test_a_training_longer_than_its_time_limit(prepared, undisturbed, tmp_path):
    """It is warned at the limit, and goes on in its next try.

    The limit is lowered when it has begun: how long that takes says how busy the machine is.
    """
    place = prepared.copy(tmp_path)
    with Gate(tmp_path / "gate") as gate:
        head = start(place, tmp_path, gate)
        gate.held(head)
        (job,) = asked("squeue", "--me", "--noheader", "--format=%i")
        asked("scontrol", "update", f"JobId={job}", "TimeLimit=1")
        gate.signalled(head)
        gate.open()
        text = head.communicate()[0]
    assert head.returncode == 0, text
    assert "TIMEOUT" in states() and "Trying to restart" in text, text
    assert gone_on(place)
    assert place.numbers() == undisturbed
    place.assert_tidy()


def test_a_job_that_a_more_urgent_one_takes_the_place_of(prepared, undisturbed, tmp_path):
    """SLURM queues it again, and it goes on from its checkpoint."""
    place = prepared.copy(tmp_path)
    with Gate(tmp_path / "gate") as gate:
        head = start(place, tmp_path, gate, **{"slurm-requeue": True})
        gate.held(head)
        both = ["--partition=urgent", "--account=research", "--nodes=2", "--exclusive"]
        urgent = subprocess.Popen(["srun", *both, "sleep", "3"])
        gate.signalled(head)
        gate.open()
        assert urgent.wait() == 0
        text = head.communicate()[0]
    assert head.returncode == 0, text
    assert "PREEMPTED" in states() or "REQUEUED" in states(), states()
    assert gone_on(place)
    assert place.numbers() == undisturbed
    place.assert_tidy()


@pytest.mark.parametrize(
    ("asked_for", "reason"),
    [
        ({"slurm_partition": "cpu"}, "Requested node configuration is not available"),
        ({"slurm_account": "none"}, "The given account none appears to be invalid"),
    ],
)
def test_a_job_that_slurm_refuses_is_not_tried_again(prepared, tmp_path, asked_for, reason):
    place = prepared.copy(tmp_path)
    head = start(place, tmp_path, resources=asked_for)
    text = head.communicate()[0]
    assert head.returncode == 1, text
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert sorted(line.split(": ")[1] for line in errors) == sorted(place.grid.runs), text
    assert all(reason in line and "not tried again" in line for line in errors), text
    assert "Memory specification" not in text, "it was refused for its memory"
    assert "Traceback" not in text and "Trying to restart" not in text, text


def test_jobs_that_a_partition_never_starts_are_named(prepared, tmp_path):
    place = prepared.copy(tmp_path)
    head = start(place, tmp_path, resources={"slurm_partition": "brief"})
    reasons = ("squeue", "--me", "--noheader", "--format=%r")
    until(lambda: "PartitionTimeLimit" in asked(*reasons), head)
    recover = [sys.executable, "-m", "kd", "recover", str(place.study), "--json"]
    said = subprocess.run(recover, cwd=tmp_path, stdout=subprocess.PIPE, env=environment()).stdout
    head.send_signal(signal.SIGINT)
    text = head.communicate()[0]
    (sentence,) = [line for line in json.loads(said) if "in the queue of SLURM" in line]
    assert sentence.startswith("1 job waits") and "the partition allows less time" in sentence
    assert not asked(*reasons), f"the head has left jobs in the queue: {text}"
