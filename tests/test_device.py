"""Local jobs and GPUs: one slot each, no overlap, free again when a job dies."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from kd import device, slots
from kd.errors import UserError

JOB = """
    import sys, time
    from pathlib import Path
    from kd.slots import take_slot
    each, folder, seconds = int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    index = take_slot(["gpu-a", "gpu-b"], each, folder / "slots", lambda _: None, pause=0.02)
    began = time.monotonic()
    print(index, flush=True)
    time.sleep(seconds)
    print(index, began, time.monotonic())
"""


def start(folder: Path, each: int, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(JOB), str(each), str(folder), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("each", "jobs"), [(1, 5), (2, 6)])
def test_no_more_jobs_on_a_gpu_than_it_has_slots(tmp_path, each, jobs):
    running = [start(tmp_path, each, 0.3) for _ in range(jobs)]
    spans: dict[str, list[tuple[float, float]]] = {}
    for job in running:
        text, _ = job.communicate()
        index, began, ended = text.splitlines()[-1].split()
        spans.setdefault(index, []).append((float(began), float(ended)))
    assert len(spans) == 2, "one GPU is never used"
    for times in spans.values():
        for began, _ in times:
            at_once = sum(b <= began < e for b, e in times)
            assert at_once <= each


def test_jobs_spread_before_they_share(tmp_path):
    jobs = []
    for _ in range(3):
        jobs.append(start(tmp_path, 2, 30))
        assert jobs[-1].stdout is not None
    found = sorted(job.stdout.readline().strip() for job in jobs if job.stdout)
    for job in jobs:
        job.kill()
    assert found in (["0", "0", "1"], ["0", "1", "1"])


def test_a_job_that_is_killed_frees_its_gpu(tmp_path):
    holders = [start(tmp_path, 1, 60) for _ in range(2)]
    for holder in holders:
        assert holder.stdout and holder.stdout.readline()
    said: list[str] = []

    def waiting(reason: str) -> None:
        said.append(reason)
        holders[1].kill()

    index = slots.take_slot(["gpu-a", "gpu-b"], 1, tmp_path / "slots", waiting, pause=0.01)
    holders[0].kill()
    assert said[0] == "waiting for a GPU: all 2 slots are taken"
    assert index in (0, 1)


class Properties:
    def __init__(self, index: int) -> None:
        self.uuid = f"uuid-{index}"


@pytest.fixture
def four_gpus(monkeypatch, tmp_path):
    """torch as it answers on a machine with four GPUs; the index that was set."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", Properties)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    yield chosen
    for handle in slots._held:
        handle.close()
    slots._held.clear()


def test_a_local_job_takes_the_next_free_gpu(four_gpus):
    assert [device.choose_device().index for _ in range(3)] == [0, 1, 2]
    assert four_gpus == [0, 1, 2]


def test_slurm_has_chosen_already(four_gpus, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert [device.choose_device().index for _ in range(2)] == [0, 0]


def test_several_jobs_a_gpu_as_the_environment_says(four_gpus, monkeypatch):
    monkeypatch.setenv(slots.JOBS_PER_GPU, "2")
    assert [device.choose_device().index for _ in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize("text", ["0", "two", "1.5", "-1"])
def test_a_count_that_is_none_is_a_sentence(monkeypatch, text):
    monkeypatch.setenv(slots.JOBS_PER_GPU, text)
    with pytest.raises(UserError, match="KD_JOBS_PER_GPU: found"):
        slots.jobs_per_gpu()


def test_without_a_gpu_the_cpu_is_taken_and_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device() == torch.device("cpu")
    assert capsys.readouterr().out == "no GPU: on the CPU\n"


def test_slots_are_this_users_own(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert slots.slots_folder().name == f"kd-gpus-{os.getuid()}"
    slots.take_slot(["gpu-a"], 1, slots.slots_folder(), print)
    assert slots.slots_folder().stat().st_mode & 0o77 == 0
    slots._held.pop().close()
