"""Why SLURM refuses jobs, and why they wait, of a `squeue` that prints what is given."""

import json
import os

import pytest
from studies import tiny_study, write_study

from kd.cli.main import main
from kd.monitor.slurm_queue import refusal, waiting, waiting_text
from kd.monitor.watch.look import looker
from kd.study.grid import load_grid
from kd.study.paths import Layout


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """Makes a `squeue` that prints these lines, and a folder that has submitted jobs."""
    (tmp_path / "here/.snakemake/slurm_logs").mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def make(*lines, status=0):
        program = tmp_path / "bin/squeue"
        program.write_text(
            "\n".join(["#!/bin/sh", *(f"echo '{x}'" for x in lines), f"exit {status}"])
        )
        program.chmod(0o755)
        return tmp_path / "here"

    return make


def test_jobs_of_this_folder_are_counted_by_reason(squeue, tmp_path):
    here, other = tmp_path / "here", tmp_path / "other"
    down = "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved"
    reasons = ["PartitionTimeLimit", "Priority", "PartitionTimeLimit", "AssocGrpGRES", down]
    found = waiting(squeue(*(f"{here}|{r}" for r in reasons), f"{other}|Priority"))
    sentences = [waiting_text(row) for row in found]
    assert len(sentences) == 4
    assert sentences[0].startswith(
        "1 job waits in the queue of SLURM (AssocGrpGRES): a limit of your"
    )
    assert (
        sentences[1].endswith("are down or reserved (`sinfo -R` says why)")
        and "are DOWN, DRAINED" in sentences[1]
    )
    assert sentences[2].startswith(
        "2 jobs wait in the queue of SLURM (PartitionTimeLimit): the partition"
    )
    assert sentences[3] == "1 job waits in the queue of SLURM (Priority)"


def test_no_answer_and_no_jobs_are_nothing(squeue, tmp_path):
    assert waiting(squeue("no controller", status=1)) == []
    assert waiting(tmp_path / "elsewhere") == []


def test_status_and_watch_say_why_jobs_wait(squeue, tmp_path, monkeypatch, capsys):
    here = squeue(*2 * [f"{tmp_path / 'here'}|Resources"], f"{tmp_path / 'here'}|JobHeldUser")
    study = str(write_study(here, tiny_study()))
    monkeypatch.chdir(here)
    held = "1 job waits in the queue of SLURM (JobHeldUser): held: `scontrol release"
    for command in ("status", "watch"):
        assert main([command, study]) == 0
        said = capsys.readouterr().out
        assert held in said and "2 jobs wait in the queue of SLURM (Resources)\n" in said.replace(
            " \n", "\n"
        )
    # Asked from elsewhere, it is the folder of the results that says where snakemake was started.
    monkeypatch.chdir(tmp_path)
    assert main(["status", study, "--results", str(here / "results"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["queue"][1] == {
        "reason": "Resources",
        "jobs": 2,
        "advice": "",
    }


@pytest.mark.parametrize(("seconds", "later"), [(60.0, 1), (0.0, 0)])
def test_a_live_view_asks_once_a_minute(squeue, tmp_path, monkeypatch, seconds, later):
    here = squeue(f"{tmp_path / 'here'}|Priority")
    monkeypatch.chdir(here)
    monkeypatch.setattr("kd.monitor.watch.look._QUEUE", seconds)
    look = looker(load_grid(write_study(here, tiny_study())), Layout("results"))
    assert len(look()["queue"]) == 1
    squeue("no controller", status=1)
    assert len(look()["queue"]) == later


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "sbatch: error: invalid partition specified: no\n"
            "sbatch: error: Batch job submission failed: Invalid partition name specified",
            "invalid partition specified: no; Invalid partition name specified",
        ),
        (
            "sbatch: error: Batch job submission failed: Memory required by task is not available",
            "Memory required by task is not available",
        ),
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            "sbatch: error: Batch job submission failed: "
            "Job violates accounting/QOS policy (job submit limit, user's size, time limits)",
            "",
        ),
        ("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation", ""),
    ],
)
def test_what_sbatch_would_refuse_again(said, reason):
    message = (
        f"SLURM sbatch failed. The error message was '{said}'.\n    sbatch call:\n        sbatch"
    )
    assert refusal(message) == reason


def test_what_the_plugin_itself_refuses():
    wrong = "The given account no appears to be invalid. Available accounts:\nroot, research"
    failed = "Job submission failed with exception: "
    assert refusal(failed + wrong) == wrong.replace("\n", "; ")
    assert refusal(failed + "'sacctmgr' reported: 'connection refused'") == ""
    assert refusal("SLURM-job '3' failed, SLURM status is: 'TIMEOUT'. invalid account") == ""
    assert refusal("") == ""
