"""Local jobs and GPUs: one slot each, no overlap, free again when a job dies."""

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kd.runtime import device, gpu_slots
from kd.runtime.errors import UserError
from kd.runtime.locks import try_lock

JOB = """
    import sys
    from pathlib import Path
    from kd.runtime.gpu_slots import take_slot
    each, folder = int(sys.argv[1]), Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    say = lambda reason: print("waits", flush=True)
    print(take_slot(["gpu-a", "gpu-b"], each, folder, say, pause=0.02), flush=True)
    sys.stdin.read()  # holds the slot until the test lets go
"""


class Job:
    """A process that takes a slot and holds it."""

    def __init__(self, folder: Path, each: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(JOB), str(each), str(folder / "slots")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def jobs():
    """A list of jobs; those in it are ended with the test."""
    started: list[Job] = []
    yield started
    for job in started:
        job.kill()


def test_jobs_spread_then_share_then_wait_and_a_killed_one_frees_its_slot(tmp_path, jobs):
    found = []
    for _ in range(4):  # two GPUs, two slots each
        jobs.append(Job(tmp_path, 2))
        found.append(jobs[-1].line())
    assert sorted(found[:2]) == sorted(found[2:]) == ["0", "1"]
    jobs.append(Job(tmp_path, 2))
    assert jobs[-1].line() == "waits"
    jobs[0].kill()
    while (line := jobs[-1].line()) == "waits":
        pass
    assert line == found[0]


def test_a_job_that_waits_says_for_what(tmp_path, monkeypatch):
    said: list[str] = []

    others = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("a.0", "b.0")]
    assert all(map(try_lock, others))

    def waiting(reason: str) -> None:
        said.append(reason)
        os.close(others.pop())

    monkeypatch.setattr(gpu_slots, "_held", {})
    assert gpu_slots.take_slot(["a", "b"], 1, tmp_path, waiting, pause=0) == 1
    os.close(gpu_slots._held.popitem()[1])
    os.close(others.pop())
    assert said == [f"waiting for a GPU: all 2 slots in {tmp_path} are taken"]


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
    monkeypatch.setattr(gpu_slots, "_held", {})
    monkeypatch.setenv(gpu_slots.LOCKS, str(tmp_path / "locks"))
    for name in ("SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    yield chosen
    for handle in [*gpu_slots._held.values(), *_OTHERS]:
        os.close(handle)
    _OTHERS.clear()


_OTHERS: list[int] = []  # slots that jobs of a test hold


def next_job() -> torch.device:
    """The device of a job that starts beside those that the test has started."""
    chosen = device.choose_device()
    _OTHERS.extend(gpu_slots._held.values())
    gpu_slots._held.clear()
    return chosen


def test_a_process_keeps_its_gpu(four_gpus, monkeypatch):
    """`kd retrain` of several runs on a machine with one GPU waited for itself."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert [device.choose_device().index for _ in range(3)] == [0, 0, 0]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert next_job().index == 0 and next_job().index == 1


def test_a_local_job_takes_the_next_free_gpu_and_says_which(four_gpus, tmp_path, capsys):
    assert [next_job().index for _ in range(3)] == [0, 1, 2]
    assert four_gpus == [0, 1, 2]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"GPU 2 of 4 (uuid-2), locked in {tmp_path / 'locks'}"


def test_jobs_in_an_allocation_of_several_gpus_take_one_each(four_gpus, monkeypatch):
    """SLURM has chosen the four, not which of them is whose."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert [next_job().index for _ in range(4)] == [0, 1, 2, 3]


def test_a_slurm_step_with_one_gpu_takes_it_whatever_others_have(four_gpus, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for first in (2, 3):  # its number 0 is another GPU for each step
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda i, n=first: Properties(i + n)
        )
        assert next_job().index == 0


def test_a_gpu_is_the_same_one_however_jobs_have_numbered_those_they_see(four_gpus, monkeypatch):
    assert next_job().index == 0
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: Properties(1 - i))
    assert next_job().index == 0, "its number 0 is free: number 1 of the first job"
    assert {p.name for p in gpu_slots.slots_folder().glob("[!.]*")} == {
        "uuid-0.0",
        "uuid-1.0",
    }


@pytest.mark.parametrize("names", ["MIG-aa,MIG-bb", "MIG-GPU-aa/7/0, MIG-GPU-aa/8/0"])
def test_of_parts_of_a_gpu_each_job_takes_one_and_sees_it_alone(four_gpus, monkeypatch, names):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    found = []
    for _ in range(2):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
        assert next_job().index == 0
        found.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert found == [name.strip() for name in names.split(",")]


def test_several_jobs_a_gpu_as_the_environment_says(four_gpus, monkeypatch):
    monkeypatch.setenv(gpu_slots.JOBS_PER_GPU, "2")
    assert [next_job().index for _ in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


@pytest.mark.parametrize("text", ["0", "two", "1.5", "-1"])
def test_a_count_that_is_none_is_a_sentence(monkeypatch, text):
    monkeypatch.setenv(gpu_slots.JOBS_PER_GPU, text)
    with pytest.raises(UserError, match="KD_JOBS_PER_GPU: found"):
        gpu_slots.jobs_per_gpu()


def test_without_a_gpu_the_cpu_is_taken_and_said(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.choose_device() == torch.device("cpu")
    assert capsys.readouterr().out == "no GPU: on the CPU\n"


def test_all_jobs_of_a_user_lock_in_one_folder_whatever_their_tmpdir(monkeypatch, tmp_path):
    monkeypatch.delenv(gpu_slots.LOCKS, raising=False)
    found = set()
    for name in ("job-1", "job-2"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr("tempfile.gettempdir", lambda name=name: str(tmp_path / name))
        monkeypatch.setenv("TMPDIR", str(tmp_path / name))
        found.add(gpu_slots.slots_folder())
    (folder,) = found
    assert folder.name == f"kd-gpus-{os.getuid()}"
    assert folder.stat().st_mode & 0o77 == 0


def unfit(folder: Path, how: str) -> None:
    if how == "a link":
        (folder.parent / "others").mkdir()
        folder.symlink_to(folder.parent / "others")
    elif how == "a file":
        folder.touch()
    else:
        folder.mkdir()
        folder.chmod(0o777)


@pytest.mark.parametrize("how", ["a link", "a file", "open to all"])
def test_a_folder_that_others_could_have_made_is_not_used(monkeypatch, tmp_path, how):
    unfit(tmp_path / "locks", how)
    monkeypatch.setenv(gpu_slots.LOCKS, str(tmp_path / "locks"))
    with pytest.raises(UserError, match="KD_GPU_LOCKS names one"):
        gpu_slots.slots_folder()


def test_the_next_folder_is_tried_where_one_cannot_be_used(monkeypatch, tmp_path):
    monkeypatch.delenv(gpu_slots.LOCKS, raising=False)
    obstacle = gpu_slots._obstacle
    tried: list[Path] = []

    def none_but_the_last(folder: Path) -> str:
        tried.append(folder)
        return obstacle(folder) if tmp_path in folder.parents else "Read-only file system"

    monkeypatch.setattr(gpu_slots, "_obstacle", none_but_the_last)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert gpu_slots.slots_folder() == tmp_path / f"kd-gpus-{os.getuid()}"
    assert len(tried) == 4


def test_a_folder_without_locks_is_not_used(monkeypatch, tmp_path):
    def refused(handle: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    assert gpu_slots._obstacle(tmp_path / "locks") == "No locks available"


@pytest.mark.parametrize(("major", "precision"), [(7, "fp32"), (8, "bf16")])
def test_bf16_is_chosen_only_where_the_hardware_computes_in_it(monkeypatch, major, precision):
    """torch's own answer for a V100 or T4 (7) and an A100 (8), both of which can hold bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = SimpleNamespace(major=major)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda device: True)
    assert device.choose_precision("auto", torch.device("cuda")) == precision
    assert device.choose_precision("bf16", torch.device("cuda")) == "bf16"
    assert device.choose_precision("auto", torch.device("cpu")) == "fp32"


@pytest.fixture
def settings():
    """torch's settings, put back after the test."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def test_what_decides_the_bits_is_set_on_a_gpu(settings):
    torch.set_float32_matmul_precision("medium")
    device.make_deterministic(torch.device("cuda"), 1)
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()


def test_fp32_is_fp32_on_a_cpu_too(settings):
    torch.set_float32_matmul_precision("medium")
    device.make_deterministic(torch.device("cpu"), 1)
    assert torch.get_float32_matmul_precision() == "highest"
