"""An automatic retry does not repeat what can only fail again."""

import os
import sys

import pytest

from kd.cli import main as cli
from kd.cli import steps
from kd.runtime import retries
from kd.runtime.errors import Transient, UserError
from kd.runtime.progress import step_state
from kd.runtime.retries import FIRST_LOG, START, Repeated
from kd.runtime.state import STATE, read_state, write_state

NAN = "the loss is not finite at step 7"


@pytest.fixture(autouse=True)
def start(monkeypatch):
    """A start of Snakemake."""
    monkeypatch.setenv(START, "first")


def tried(folder, error=None, device="cpu", step="distil"):
    """Whether a try gets as far as to its training, which ends with `error`."""
    trained = False
    try:
        with step_state(folder, step) as progress:
            progress.attempt.depends(device=device)
            trained = True
            if error is not None:
                raise error
    except type(error or UserError("")) as raised:
        assert raised is error or isinstance(raised, Repeated)
    except Repeated:
        pass
    return trained


def test_a_retry_of_what_can_only_fail_again_ends_with_the_same_sentence(tmp_path):
    assert tried(tmp_path, UserError(NAN))
    before = read_state(tmp_path)
    for _ in range(3):  # as often as Snakemake likes
        with pytest.raises(Repeated) as error, step_state(tmp_path, "distil") as progress:
            progress.attempt.depends(device="cpu")
        assert str(error.value).startswith(NAN)
        assert "start snakemake again to try once more" in str(error.value)
        assert {**read_state(tmp_path), "time": 0} == {**before, "time": 0}
    assert before["error"] == NAN


def test_what_was_found_before_the_device_was_chosen_ends_before_it_is(tmp_path):
    with pytest.raises(UserError, match="a mistake"), step_state(tmp_path, "distil"):
        raise UserError("a mistake")
    with pytest.raises(Repeated, match="a mistake"), step_state(tmp_path, "distil"):
        pytest.fail("it was done again")


@pytest.mark.parametrize(
    "error",
    [
        Transient("out of memory on the device"),
        OSError(28, "No space left on device"),
        MemoryError(),
        RuntimeError("CUDA error: unspecified launch failure"),
    ],
)
def test_what_may_end_well_is_tried_again(tmp_path, error):
    assert tried(tmp_path, error) and tried(tmp_path)


def test_what_was_killed_is_tried_again(tmp_path):
    write_state(tmp_path, state="running", step="distil", host="elsewhere", pid=1)
    assert tried(tmp_path)


def test_a_new_start_of_snakemake_tries_again(tmp_path, monkeypatch):
    assert tried(tmp_path, UserError(NAN)) and not tried(tmp_path)
    monkeypatch.setenv(START, "second")
    assert tried(tmp_path, UserError(NAN)) and not tried(tmp_path)


def test_by_hand_it_is_tried_as_often_as_one_likes(tmp_path, monkeypatch):
    monkeypatch.delenv(START)
    assert tried(tmp_path, UserError(NAN)) and tried(tmp_path, UserError(NAN))
    assert not (tmp_path / FIRST_LOG).exists()


def test_on_another_device_or_with_other_code_or_in_another_step_it_is_tried(tmp_path, monkeypatch):
    for changed in ({"device": "gpu"}, {"step": "evaluate"}):
        assert tried(tmp_path, UserError(NAN)) and tried(tmp_path, **changed)
    assert tried(tmp_path, UserError(NAN))
    monkeypatch.setattr(retries, "_code", lambda: "changed")
    assert tried(tmp_path)


def test_the_log_of_the_first_try_is_printed_by_the_second(tmp_path):
    """Snakemake's shell line overwrites it."""
    log = tmp_path / "distil.log"

    def job(text):
        """A process that prints to the log, as the rules' shell lines have it."""
        if (child := os.fork()) == 0:
            with log.open("w") as handle:
                os.dup2(handle.fileno(), 1)
            sys.stdout = os.fdopen(1, "w", closefd=False)
            try:
                with step_state(tmp_path / "run", "distil"):
                    print(text)
                    raise UserError(NAN)
            except UserError as error:
                print(error, flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

    job("distilling: 7/90")
    job("once more from the start")
    job("once more from the start")
    text = log.read_text()
    assert "distilling: 7/90" in text and NAN in text and "once more from" not in text
    assert not tried(tmp_path / "run")
    (tmp_path / "run" / STATE).unlink()
    assert tried(tmp_path / "run")
    assert not (tmp_path / "run" / FIRST_LOG).exists(), "it is left after a success"


def test_the_command_ends_with_a_sentence(tmp_path, monkeypatch, capsys):
    def act(options):
        with step_state(tmp_path, "distil"):
            raise UserError(NAN)

    monkeypatch.setattr(steps, "_distil", act)
    for _ in range(2):
        assert cli.main(["distil", __file__, "--run", "a-1"]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {NAN}") and "Traceback" not in error
