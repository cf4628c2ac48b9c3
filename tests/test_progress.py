"""What the state file of a step says, and how it ends."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from kd.errors import UserError
from kd.progress import (
    SILENCE,
    STATE,
    Progress,
    is_alive,
    read_state,
    step_state,
    write_state,
)
from kd.signals import Stopped


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(folder, **changes):
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    write_state(folder, state="running", step="distil", phase="distilling", **{**here, **changes})
    return folder


def aged(folder, seconds):
    path = folder / STATE
    state = json.loads(path.read_text())
    path.write_text(json.dumps({**state, "time": state["time"] - seconds}))
    return folder


def test_a_step_that_ends_well_leaves_no_state(tmp_path):
    with step_state(tmp_path, "distil") as progress:
        assert read_state(tmp_path)["state"] == "running"
        assert not progress.waited
    assert read_state(tmp_path) is None


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("the loss is not finite"), "the loss is not finite"),
        (Stopped("stopped by SIGTERM after step 3 of 9"), "stopped by SIGTERM after step 3 of 9"),
        (ValueError("shapes\n differ"), "ValueError: shapes differ"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_a_failure_stays_with_its_last_line(tmp_path, error, line):
    with pytest.raises(type(error)), step_state(tmp_path, "distil"):
        raise error
    state = read_state(tmp_path)
    assert (state["state"], state["step"], state["error"]) == ("failed", "distil", line)


def test_a_full_disk_does_not_hide_what_happened(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="the reason"), step_state(tmp_path, "distil"):
        monkeypatch.setattr("kd.progress.write_state", full)
        raise UserError("the reason")


def test_a_process_that_is_gone_from_this_machine_was_killed(tmp_path):
    assert read_state(running(tmp_path))["state"] == "running"
    state = read_state(running(tmp_path, pid=dead_pid()))
    assert state["state"] == "failed"
    assert "killed: its process" in state["error"] and "distilling" in state["error"]


def test_another_machines_process_is_believed_while_it_gives_signs_of_life(tmp_path):
    assert read_state(running(tmp_path, host="elsewhere", pid=dead_pid()))["state"] == "running"
    state = read_state(aged(tmp_path, SILENCE + 1))
    assert "no sign of life for 301 s" in state["error"]


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
    progress = Progress(tmp_path, "distil")
    progress.start("distilling", 10, 7)
    for _ in range(3):
        progress.advance()
    assert capsys.readouterr().out == (
        "distilling: 10 steps, going on after 7\ndistilling: 10/10\n"
    )


def test_a_reason_to_wait_is_said_once_and_kept_in_the_state(tmp_path, capsys, monkeypatch):
    progress = Progress(tmp_path, "distil")
    now = time.monotonic()
    for seconds in (0, 10, 30):
        monkeypatch.setattr("time.monotonic", lambda seconds=seconds: now + seconds)
        progress.wait("waiting for a GPU")
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
