"""kill -9 of every step at random moments: started again, it comes to the same numbers."""

import shutil
import signal
import subprocess
import time

import pytest
from faults import TIMES, Place, clear, finish, kill_at_random, remove, write


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """All steps done once, with nothing in the way. Training takes seconds: kills hit it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return Place(write(folder, train=1000, epochs=6, axes={"seed": [1]})).make()


def copy_of(place: Place, folder) -> Place:
    shutil.copy(place.study, folder / "study.yaml")
    shutil.copytree(place.layout.results, folder / "results", symlinks=True)
    return Place(folder / "study.yaml")


@pytest.mark.parametrize("step", ["distil", "teacher", "outputs", "tokenise", "data", "evaluate"])
def test_killed_at_random_moments_it_comes_to_the_same_numbers(undisturbed, tmp_path, step):
    place = copy_of(undisturbed, tmp_path)
    times = TIMES if step in ("distil", "teacher", "outputs") else max(1, TIMES // 4)
    clear(place, step)
    counts = kill_at_random(place, step, times, seed=times)
    print(step, counts, "resumed:", place.log(step).count("going on after"))
    if step in ("teacher", "outputs"):  # what was made of it must be the same too
        remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_saves_the_state_and_the_next_start_goes_on(undisturbed, tmp_path, number):
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    job = place.start("distil", seconds=1000)  # none but the one that the signal asks for
    await_training(place, job)
    job.send_signal(number)
    assert job.wait(30) == 75
    assert "the state is saved" in place.log("distil")
    assert (place.folder / "checkpoint.safetensors").is_file()
    assert not (place.folder / "model").exists()
    assert place.start("distil", seconds=1000).wait() == 0
    assert "going on after" in place.log("distil")
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


def await_training(place: Place, job: "subprocess.Popen[str]") -> None:
    """Until the first steps are done."""
    while "distilling: " not in place.log("distil"):
        assert job.poll() is None, place.log("distil")
        time.sleep(0.05)
    time.sleep(0.5)


def test_two_processes_on_one_run_do_its_work_once(undisturbed, tmp_path):
    """An orphan of a dead workflow, and the job of the next one."""
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    jobs = [place.fork("distil", seconds=1000) for _ in range(2)]
    for job in jobs:
        finish(job)
    text = place.log("distil")
    assert text.count("works on it; waiting") == 1
    assert text.count("distilling: ") == 2, "trained twice"  # the start, and the last step
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


def test_of_two_processes_the_second_goes_on_where_the_first_was_killed(undisturbed, tmp_path):
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    first = place.fork("distil", seconds=0)
    while "distilling: " not in place.log("distil"):
        time.sleep(0.01)
    second = place.fork("distil", seconds=0)
    while "waiting" not in place.log("distil"):
        assert first.exitcode is None, "too fast for this test"
        time.sleep(0.01)
    first.kill()
    finish(second)
    assert "going on after" in place.log("distil")
    place.make()
    assert place.numbers() == undisturbed.numbers()
