"""A disk that fills up while an artefact is written, or cannot be written to at all.

A small tmpfs stands in for the disk; to mount one takes root.
"""

import os
import shutil
import subprocess

import pytest
from faults import Place, finish, remove, snakemake, write
from slow import slow

from kd.runtime.files import leftovers
from kd.runtime.seals import check_seal, read_record
from kd.training.checkpoint import Checkpoint

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Large enough that the artefacts are not lost in rounding: 4 kB a page."""
    folder = tmp_path_factory.mktemp("whole")
    return Place(write(folder, train=400, axes={"seed": [1]})).make()


@pytest.fixture
def disk(tmp_path):
    """A tmpfs, and a function that sets its size or makes it read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "kd-test", folder],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")

    def remount(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)

    yield folder, remount
    subprocess.run(["umount", "--lazy", folder], check=True)


def used(folder) -> int:
    return shutil.disk_usage(folder).used


def fill(folder, left: int) -> None:
    """Leave room for `left` bytes."""
    with (folder / "filling").open("wb") as handle:
        handle.write(b"0" * max(0, shutil.disk_usage(folder).free - left))


def on_disk(whole: Place, folder, study=None) -> Place:
    shutil.copytree(whole.layout.results, folder / "results")
    return Place(study or whole.study, folder / "results")


def tried(place: Place, step: str) -> tuple[int | None, str]:
    """Exit status of a step, and what it said."""
    (place.study.parent / f"{step}.log").unlink(missing_ok=True)
    job = place.fork(step, 1000)
    job.join()
    return job.exitcode, place.log(step)


STEPS = ["data", "tokenise", "teacher", "outputs", "distil", "evaluate"]


@pytest.mark.parametrize("step", [*slow(*STEPS[:-2]), *STEPS[-2:]])
def test_a_disk_that_fills_up_costs_a_sentence_and_nothing_else(whole, disk, tmp_path, step):
    """Room for nothing, for some of the artefact, and for nearly all of it."""
    folder, _ = disk
    place = on_disk(whole, folder)
    targets = place.outputs()[step]
    if step == "outputs":
        targets = [*targets, *place.layout.need(place.run).parent.glob("*.np*")]
    with_them = used(folder)
    remove(*targets)
    size = with_them - used(folder)
    failures = 0
    for share in (0.0, 0.5, 0.9):
        fill(folder, int(share * size))
        status, text = tried(place, step)
        (folder / "filling").unlink()
        if status:
            failures += 1
            assert status == 2, text
            assert "Traceback" not in text, text
            assert "No space left" in text
            for target in targets:
                if target.is_dir():
                    check_seal(target)
                elif target.suffix == ".json" and target.exists():
                    read_record(target)
                assert not leftovers(target.parent), "half an artefact is left"
        remove(*targets)
    assert failures >= 1, "the disk was never too small"
    place.make()
    assert place.numbers() == whole.numbers()
    place.assert_tidy()


def test_a_disk_full_to_the_last_byte_ends_no_training(whole, disk, monkeypatch):
    """Checkpoints, signs of life, the log: all find no room until a step after the first two."""
    folder, _ = disk
    shutil.copy(whole.study, folder / "study.yaml")  # the log lies beside it
    place = on_disk(whole, folder, folder / "study.yaml")
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    seen, saved = os.pipe()
    save = Checkpoint.save

    def reporting(self, *content):
        os.write(saved, b"1" if (kept := save(self, *content)) else b"0")
        return kept

    monkeypatch.setattr(Checkpoint, "save", reporting)
    monkeypatch.setattr("kd.runtime.progress._BEAT", 0.001)
    fill(folder, 0)
    assert shutil.disk_usage(folder).free == 0
    job = place.fork("distil", 0)
    os.close(saved)  # the job's is open as long as it lives
    assert [os.read(seen, 1), os.read(seen, 1)] == [b"0", b"0"]
    (folder / "filling").unlink()
    finish(job)
    os.close(seen)
    place.make()
    assert place.numbers() == whole.numbers()


@pytest.mark.parametrize("step", STEPS)
def test_a_results_folder_that_is_read_only_is_a_sentence(whole, disk, step):
    folder, remount = disk
    place = on_disk(whole, folder)
    remove(*place.outputs()[step])
    remount("ro")
    status, text = tried(place, step)
    remount("rw")
    assert status == 2, text
    assert "Traceback" not in text and "Read-only file system" in text
    place.make()
    assert place.numbers() == whole.numbers()


def test_a_workflow_that_cannot_write_starts_nothing(whole, disk):
    folder, remount = disk
    remount("ro")
    head = snakemake(folder, whole.study, "--cores", "1")
    text = head.communicate()[0]
    assert head.returncode and "cannot be written to; nothing was started" in text
    assert "Traceback" not in text
