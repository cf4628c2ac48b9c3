"""kill -9 of every step at random moments: started again, it comes to the same numbers."""

import os
import shutil
import signal
from multiprocessing.context import ForkProcess

import pytest
from faults import TIMES, Place, clear, finish, kill_at_random, remove, write
from moments import Gate, until

from kd.runtime.progress import STATE


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """All steps done once, with nothing in the way; a training is 14 steps."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return Place(write(folder, train=200, epochs=2, axes={"seed": [1]})).make()


def ended(job) -> int:
    """The exit status of a job, which is waited for."""
    if isinstance(job, ForkProcess):
        job.join()
        return job.exitcode
    return job.wait()


def copy_of(place: Place, folder) -> Place:
    shutil.copy(place.study, folder / "study.yaml")
    shutil.copytree(place.layout.results, folder / "results", symlinks=True)
    return Place(folder / "study.yaml")


@pytest.mark.parametrize("step", ["distil", "teacher", "outputs", "tokenise", "data", "evaluate"])
@pytest.mark.slow
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
    """SIGTERM, which SLURM sends, ends a command that was started as Snakemake does."""
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    # Held where the training begins, it saves none but the state that the signal asks for.
    with Gate(tmp_path / "gate", STATE, 1, "distilling") as gate:
        start = place.start if number == signal.SIGTERM else place.fork
        job = start("distil", 1000, gate)
        gate.held(job)
        assert "distilling: " in place.log("distil")
        os.kill(job.pid, number)
        gate.open()
        assert ended(job) == (130 if number == signal.SIGINT else 75)
    assert "after step 1 of" in place.log("distil") and "the state is saved" in place.log("distil")
    assert (place.folder / "checkpoint.safetensors").is_file()
    assert not (place.folder / "model").exists()
    finish(place.fork("distil", 1000))
    assert "going on after 1" in place.log("distil")
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


@pytest.mark.parametrize("step", ["data", "tokenise", "teacher", "outputs", "evaluate"])
def test_a_signal_ends_every_step_with_a_sentence(undisturbed, tmp_path, step):
    """Held before its first output is in place: that is absent, and the next start makes it."""
    place = copy_of(undisturbed, tmp_path)
    clear(place, step)
    with Gate(tmp_path / "gate", STATE, 1) as gate:
        job = place.fork(step, 1000, gate)
        gate.held(job)
        os.kill(job.pid, signal.SIGTERM)
        gate.open()
        assert ended(job) == 75
    assert place.log(step).rstrip().endswith("stopped by SIGTERM")
    assert not any(path.exists() for path in place.outputs()[step])
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


def second_of_two(place: Place, first: ForkProcess) -> ForkProcess:
    """A second process on the run, which waits for the first."""
    second = place.fork("distil", 0)
    until(lambda: "works on it; waiting" in place.log("distil"), second)
    assert first.is_alive()
    return second


def test_two_processes_on_one_run_do_its_work_once(undisturbed, tmp_path):
    """An orphan of a dead workflow, and the job of the next one."""
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    with Gate(tmp_path / "gate") as gate:
        first = place.fork("distil", 0, gate)
        gate.held(first)
        second = second_of_two(place, first)
        gate.open()
        finish(first)
        finish(second)
    text = place.log("distil")
    assert text.count("works on it; waiting") == 1
    assert text.count("distilling: ") == 2, "trained twice"  # the start, and the last step
    place.make()
    assert place.numbers() == undisturbed.numbers()
    place.assert_tidy()


def test_of_two_processes_the_second_goes_on_where_the_first_was_killed(undisturbed, tmp_path):
    place = copy_of(undisturbed, tmp_path)
    remove(*place.outputs()["distil"], *place.outputs()["evaluate"])
    with Gate(tmp_path / "gate") as gate:
        first = place.fork("distil", 0, gate)
        gate.held(first)
        second = second_of_two(place, first)
        first.kill()
        finish(second)
    assert "going on after 1" in place.log("distil")
    place.make()
    assert place.numbers() == undisturbed.numbers()
