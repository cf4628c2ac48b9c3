"""Signals end a step with a status that says "again", a training after its step."""

import os
import signal

import pytest

from kd import cli
from kd.signals import SIGNALS, STATUS, Stopped, deferred, watched


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_block_and_its_handlers_go_with_it(number):
    before = signal.getsignal(number)
    with pytest.raises(Stopped, match=f"stopped by {signal.Signals(number).name}"), watched():
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


def test_a_stopped_step_exits_with_a_status_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(cli, "_distil", lambda options: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main(["distil", "study.yaml", "--run", "a-1"]) == STATUS == 75
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


def test_a_full_disk_is_a_sentence(monkeypatch, capsys):
    def full(_):
        raise OSError(28, "No space left on device", "results/a")

    monkeypatch.setattr(cli, "_distil", full)
    assert cli.main(["distil", "study.yaml", "--run", "a-1"]) == 2
    assert "error: results/a: No space left on device" in capsys.readouterr().err
