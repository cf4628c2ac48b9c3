"""What the state file of a step says, and how it ends."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from itertools import pairwise

import pytest

from kd.runtime import progress, state
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress, step_state
from kd.runtime.signals import Stopped
from kd.runtime.state import SILENCE, STATE, is_alive, read_state, this_process, write_state


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(folder, **changes):
    here = {**this_process(), **changes}
    write_state(folder, state="running", step="distil", phase="distilling", **here)
    return folder


def aged(folder, seconds):
    path = folder / STATE
    found = json.loads(path.read_text())
    path.write_text(json.dumps({**found, "time": found["time"] - seconds}))
    return folder


def test_a_step_that_ends_well_leaves_no_state(tmp_path):
    with step_state(tmp_path, "distil") as step:
        assert read_state(tmp_path)["state"] == "running"
        assert not step.waited
    assert read_state(tmp_path) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("the loss is not finite"), "the loss is not finite"),
        (ValueError("shapes\n differ"), "ValueError: shapes differ"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_failure_stays_with_its_last_line(tmp_path, error, line):
    with pytest.raises(type(error)), step_state(tmp_path, "distil"):
        raise error
    found = read_state(tmp_path)
    assert (found["state"], found["step"], found["error"]) == ("failed", "distil", line)


def test_the_speed_is_that_of_this_process_in_this_phase(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("kd.runtime.progress.time.monotonic", lambda: clock[0])
    step = Progress(tmp_path, "distil")
    assert read_state(tmp_path)["per_second"] == 0
    clock[0] = 1000.0
    step.start("distilling", 100, done=50)  # by an earlier job
    for _ in range(10):
        clock[0] += 4.0
        step.advance()
    step.write()
    found = read_state(tmp_path)
    assert (found["done"], found["total"], found["per_second"]) == (60, 100, 0.25)
    step.start("evaluating", 5)
    assert read_state(tmp_path)["per_second"] == 0


def test_the_state_has_the_losses_of_a_training_so_far(tmp_path):
    step, rows = Progress(tmp_path, "distil"), [{"step": 5, "loss": 1.5}]
    step.start("distilling", 10)
    step.history = rows
    rows.append({"step": 10, "loss": 1.0})
    step.write()
    assert read_state(tmp_path)["history"] == rows
    step.start("evaluating", 5)
    assert "history" not in read_state(tmp_path)


def test_a_short_step_is_seen_before_it_ends(tmp_path, monkeypatch):
    """The count is written after 1 s and then ever less often: 20 s apart at most."""
    clock, written = [0.0], []
    monkeypatch.setattr("kd.runtime.progress.time.monotonic", lambda: clock[0])
    step = Progress(tmp_path, "distil")
    step.start("distilling", 10_000)
    monkeypatch.setattr(
        step, "write", lambda: written.append(clock[0]) or vars(step).update(_written=clock[0])
    )
    for _ in range(1000):
        clock[0] += 0.5
        step.advance()
    gaps = [b - a for a, b in pairwise(written)]
    assert written[0] < 2 and max(gaps) <= 20.5 and len(written) < 50


def test_a_full_disk_does_not_hide_what_happened(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the reason"), step_state(tmp_path, "distil"):
        monkeypatch.setattr("kd.runtime.progress.write_state", full)
        raise UserError("the reason")


def test_what_was_asked_to_end_is_stopped_not_failed(tmp_path):
    with pytest.raises(Stopped), step_state(tmp_path, "distil"):
        raise Stopped("SIGTERM", " after step 3 of 9; the state is saved")
    found = read_state(tmp_path)
    line = "stopped by SIGTERM after step 3 of 9; the state is saved"
    assert (found["state"], found["error"]) == ("stopped", line)


def test_a_full_disk_ends_no_step_at_its_signs_of_life(tmp_path, monkeypatch):
    """Nor when it starts, or begins another phase: only what the step makes must be written."""
    tried = threading.Semaphore(0)

    def full(*_, **__):
        tried.release()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kd.runtime.progress.write_state", full)
    monkeypatch.setattr(progress, "_BEAT", 0.01)
    with step_state(tmp_path, "distil") as step:
        step.start("distilling", 2)
        step.advance()
        step.wait("waiting for a GPU")
        for _ in range(5):  # three of these, and two of the thread
            assert tried.acquire(timeout=60)
    assert read_state(tmp_path) is None


def test_a_silent_step_gives_signs_of_life(tmp_path, monkeypatch):
    """Loading, tokenising, checksums: the step itself says nothing for minutes."""
    written = threading.Semaphore(0)

    def write(*args, **kwargs):
        write_state(*args, **kwargs)
        written.release()

    monkeypatch.setattr("kd.runtime.progress.write_state", write)
    monkeypatch.setattr(progress, "_BEAT", 0.01)
    threads = threading.active_count()
    with step_state(tmp_path, "distil"):
        first = json.loads((tmp_path / STATE).read_text())
        for _ in range(3):  # the first one, and two of the thread
            assert written.acquire(timeout=60)
        later = json.loads((tmp_path / STATE).read_text())
        assert later["time"] > first["time"] and {**later, "time": 0} == {**first, "time": 0}
    assert threading.active_count() == threads and not (tmp_path / STATE).exists()


def test_a_process_that_is_gone_from_this_machine_was_killed(tmp_path):
    assert read_state(running(tmp_path))["state"] == "running"
    found = read_state(running(tmp_path, pid=dead_pid()))
    assert found["state"] == "failed"
    assert "killed: its process" in found["error"] and "distilling" in found["error"]


def test_a_process_that_lives_on_this_machine_is_believed_however_silent(tmp_path):
    assert read_state(aged(running(tmp_path), 100 * SILENCE))["state"] == "running"


def test_a_process_number_that_was_given_again_is_not_believed(tmp_path):
    found = read_state(running(tmp_path, began="12"))
    assert found["state"] == "failed" and "is gone" in found["error"]


def test_a_state_of_an_earlier_version_is_believed_by_its_process_number(tmp_path):
    old = {"host": socket.gethostname(), "pid": os.getpid()}
    write_state(tmp_path, state="running", step="distil", phase="distilling", **old)
    assert read_state(aged(tmp_path, SILENCE + 1))["state"] == "running"


def test_another_machines_process_is_believed_while_it_gives_signs_of_life(tmp_path):
    assert read_state(running(tmp_path, host="elsewhere", pid=dead_pid()))["state"] == "running"
    found = read_state(aged(tmp_path, SILENCE + 1))
    assert "no sign of life for 301 s" in found["error"]


@pytest.mark.parametrize("number_of", [os.getpid, dead_pid])
def test_so_is_that_of_another_container_with_the_same_name(tmp_path, number_of):
    """It counts its processes for itself: the same number is another process there."""
    pid = number_of()
    there = {"machine": "another boot pid:[1]", "began": "12", "pid": pid}
    assert read_state(running(tmp_path, **there))["state"] == "running"
    assert read_state(aged(tmp_path, SILENCE + 1))["state"] == "failed"


def test_where_there_is_no_proc_the_number_alone_is_believed(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "Path", lambda text: pathlib.Path("/nowhere") / text.lstrip("/"))
    assert this_process() == {"host": socket.gethostname(), "pid": os.getpid()}
    assert state.is_alive(os.getpid()) and not state.is_alive(dead_pid())
    monkeypatch.undo()


@pytest.mark.parametrize("jump", [-1e5, 1e5])
def test_a_clock_that_jumps_makes_no_step_immortal(tmp_path, jump):
    assert read_state(aged(running(tmp_path, host="elsewhere"), jump))["state"] == "failed"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "running"}', "\x00\xff"])
def test_a_damaged_state_is_a_failure_that_the_next_start_mends(tmp_path, content):
    (tmp_path / STATE).write_text(content)
    assert read_state(tmp_path)["state"] == "failed"
    with step_state(tmp_path, "distil"):
        assert read_state(tmp_path)["state"] == "running"
    assert read_state(tmp_path) is None


def test_leftovers_of_a_killed_step_go_when_it_starts_again(tmp_path):
    (tmp_path / ".model.0123.tmp").mkdir()
    (tmp_path / ".state.json.0123.tmp").write_text("half")
    with step_state(tmp_path, "distil"):
        assert {p.name for p in tmp_path.iterdir()} == {STATE, ".lock"}


def test_a_resumed_phase_counts_on_from_where_it_was(tmp_path, capsys):
    step = Progress(tmp_path, "distil")
    step.start("distilling", 10, 7)
    for _ in range(3):
        step.advance()
    assert capsys.readouterr().out == (
        "distilling: 10 steps, going on after 7\ndistilling: 10/10\n"
    )


def test_a_reason_to_wait_is_said_once_and_kept_in_the_state(tmp_path, capsys):
    step = Progress(tmp_path, "distil")
    for _ in range(3):
        step.wait("waiting for a GPU")
    assert capsys.readouterr().out == "waiting for a GPU\n"
    assert json.loads((tmp_path / STATE).read_text())["phase"] == "waiting for a GPU"


def test_a_process_that_has_ended_is_not_alive_though_no_one_has_asked_about_it():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(child.pid) and is_alive(os.getpid())
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the list
    os.kill(child.pid, 0)
    assert not is_alive(child.pid)
    child.wait()
    assert not is_alive(child.pid)
