"""The reasons why jobs wait in the queue of SLURM, of a `squeue` that prints what is given."""

import os

import pytest

from kd.monitor.slurm_queue import waiting


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
    sentences = waiting(squeue(*(f"{here}|{r}" for r in reasons), f"{other}|Priority"))
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
