"""Signals end a step with a status that says "again", a training after its step."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kd.cli import drawing, steps
from kd.cli import main as cli
from kd.runtime import signals
from kd.runtime.signals import BY_HAND, SIGNALS, STATUS, Stopped, deferred, watched


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block_and_its_handlers_go_with_it(number):
    before = signal.getsignal(number)
    name = "ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    with pytest.raises(Stopped, match=f"stopped by {name}"), watched():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def test_within_a_training_the_first_is_noted_and_the_second_ends():
    with watched(), deferred() as asked:
        assert asked() == ""
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked() == "SIGTERM"
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGUSR1)
    with watched():
        with deferred() as asked:
            assert asked() == "", "a signal of long ago is remembered"
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_comes_twice_at_once_is_one(monkeypatch):
    """From the scheduler, and from the Snakemake of the job; a second ctrl-C is a person's."""
    with watched(), deferred() as asked:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        assert asked() == "SIGTERM"
        monkeypatch.setattr(signals, "_SAME", 0.0)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.undo()
    with watched(), deferred():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGTERM, STATUS, "stopped by SIGTERM\n"),
        (signal.SIGUSR1, STATUS, "stopped by SIGUSR1\n"),
        (signal.SIGINT, BY_HAND, "stopped by ctrl-C\n"),
    ],
)
@pytest.mark.parametrize("command", [["distil", __file__, "--run", "a-1"], ["figures", __file__]])
def test_what_is_stopped_says_so_and_exits_with_a_status_of_its_own(
    monkeypatch, capsys, number, status, line, command
):
    group = steps if command[0] == "distil" else drawing
    monkeypatch.setattr(group, f"_{command[0]}", lambda options: os.kill(os.getpid(), number))
    assert cli.main(command) == status
    assert capsys.readouterr().err == line


# A process that gets a signal at a moment of its own: when it imports or opens something.
PROCESS = """
import os, signal, sys
def hook(event, arguments):
    if event == {event!r} and {text!r} in str(arguments):
        os.kill(os.getpid(), signal.{name})
sys.argv = ["kd", "shapes", "tinybert4"]
{setup}
from kd.__main__ import run
run()
"""


def process(setup, name="SIGTERM", event="", text=""):
    code = PROCESS.format(setup=setup, name=name, event=event, text=text)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("name", "status", "line"),
    [("SIGTERM", 75, "stopped by SIGTERM\n"), ("SIGINT", 130, "stopped by ctrl-C\n")],
)
def test_a_signal_while_modules_are_imported_ends_calmly(name, status, line):
    done = process("sys.addaudithook(hook)", name, "import", "kd.axes.shapes")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", line)


def test_a_signal_after_the_work_changes_nothing():
    late = "import atexit; atexit.register(os.kill, os.getpid(), signal.SIGTERM)"
    done = process(late)
    assert (done.returncode, done.stderr) == (0, "") and "4L-312" in done.stdout


def test_a_stopped_process_ends_at_once():
    """Without the end of the interpreter, which takes torch apart."""
    late = "import atexit; atexit.register(print, 'taken apart')"
    stop = "import kd.cli.main as cli; cli.main = lambda: 75"
    done = process(f"{late}; {stop}")
    assert (done.returncode, done.stdout, done.stderr) == (75, "", "")


@pytest.mark.parametrize(
    ("loaded", "said"),
    [("", ["at exit", "taken apart"]), ("sys.modules['torch'] = sys", ["at exit"])],
)
def test_a_process_that_loaded_torch_does_not_take_it_apart(loaded, said):
    late = "import atexit; atexit.register(print, 'at exit')"
    part = (
        "class Part:\n    __del__ = lambda self, print=print: print('taken apart')\npart = Part()"
    )
    work = "import kd.cli.main as cli; cli.main = lambda: 3"
    done = process("\n".join((late, part, work, loaded)))
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (3, said, "")


def test_what_other_threads_have_begun_is_finished_first():
    work = (
        "from concurrent.futures import ThreadPoolExecutor; import time\n"
        "def late():\n    time.sleep(0.2)\n    print('done')\n"
        "import kd.cli.main as cli; sys.modules['torch'] = sys\n"
        "cli.main = lambda: ThreadPoolExecutor().submit(late) and 0"
    )
    assert process(work).stdout == "done\n"


def test_schedulers_and_shells_know_the_statuses():
    assert (STATUS, BY_HAND) == (75, 130)


def test_a_full_disk_is_a_sentence(monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device", "results/a")

    monkeypatch.setattr(steps, "_distil", full)
    assert cli.main(["distil", __file__, "--run", "a-1"]) == 2
    assert "error: results/a: No space left on device" in capsys.readouterr().err


def test_a_command_runs_in_any_thread(capsys):
    """Where no signal can be heard."""
    with ThreadPoolExecutor() as pool:
        assert pool.submit(cli.main, ["shapes", "tinybert4"]).result() == 0
    assert "tinybert4" in capsys.readouterr().out
