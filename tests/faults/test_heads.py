"""Snakemake itself dies, is asked to end, or is started twice: nothing is lost."""

import io
import os
import signal
import subprocess
from contextlib import chdir, redirect_stdout

import pytest
from faults import TIMES, Place, finish, prepare, remove, snakemake
from moments import Gate, gone

from kd.cli.main import main
from kd.monitor.status import study_status

# Where the jobs are when the head dies: a file that they are about to put in place, and how often.
MOMENTS = [("checkpoint.safetensors", n) for n in (2, 8)]
MOMENTS += [("state.json", 1, "distilling"), ("training.json", 1), ("metrics.json", 1)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Its runs train for 14 steps."""
    return prepare(tmp_path_factory.mktemp("prepared"), train=200, epochs=2)


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    return prepared.copy(tmp_path_factory.mktemp("undisturbed")).finish_runs().numbers()


@pytest.fixture
def gate(tmp_path):
    with Gate(tmp_path / "gate") as made:
        yield made


def start(
    folder, place: Place, *arguments: str, gate: Gate | None = None, until: str = "evaluate"
) -> "subprocess.Popen[str]":
    """The runs alone: tables and figures would only cost time. A training saves every step."""
    arguments = ("--cores", "2", "--until", until, *arguments)
    held = gate.environment() if gate else {}
    return snakemake(folder, place.study, *arguments, KD_CHECKPOINT_SECONDS="0", **held)


def said_to_recover(folder, place: Place) -> str:
    with chdir(folder), redirect_stdout(io.StringIO()) as out:
        assert main(["recover", str(place.study)]) == 0
    return out.getvalue()


@pytest.mark.parametrize("moment", MOMENTS[: 1 if TIMES < 10 else None], ids=str)
@pytest.mark.parametrize(
    "jobs_too",
    [
        pytest.param(False, id="head alone", marks=pytest.mark.slow),
        pytest.param(True, id="jobs too", marks=pytest.mark.slow),
    ],
)
def test_a_head_that_is_killed(prepared, undisturbed, tmp_path, jobs_too, moment):
    """Its jobs go on without it, or die with it, as when the machine goes down."""
    place = prepared.copy(tmp_path)
    with Gate(tmp_path / "gate", *moment) as gate:
        head = start(tmp_path, place, gate=gate)
        held = gate.held(head, count=2)
        if jobs_too:
            os.killpg(head.pid, signal.SIGKILL)
            gone(*held)
        else:
            head.kill()
        head.wait()
        text = said_to_recover(tmp_path, place)
        if not jobs_too:
            assert text.count("still works on it") == 2, text
        else:
            saved = list(place.layout.results.glob("runs/*/checkpoint.safetensors"))
            assert text.count("its process") == 2, text
            assert text.count("the next start goes on from there") == len(saved), text

        assert "snakemake --unlock" in said_to_recover(tmp_path, place)
        if jobs_too:
            refused = start(tmp_path, place)
            text = refused.communicate()[0]
            assert refused.returncode and "--unlock" in text, text
        assert start(tmp_path, place, "--unlock").wait() == 0
        again = start(tmp_path, place, until="evaluate" if jobs_too else "distil")
        gate.open()
        text = again.communicate()[0]
        assert again.returncode == 0, text
    if not jobs_too:
        place.evaluate_runs()
    assert place.numbers() == undisturbed
    place.assert_tidy()
    assert study_status(place.grid, place.layout)["done"] == 2


@pytest.mark.parametrize(
    "how", [pytest.param("SIGTERM to the head", marks=pytest.mark.slow), "ctrl-C"]
)
def test_a_head_that_is_asked_to_end(prepared, undisturbed, tmp_path, gate, how, capfd):
    place = prepared.copy(tmp_path)
    head = start(tmp_path, place, gate=gate)
    gate.held(head)
    if how == "ctrl-C":
        os.killpg(head.pid, signal.SIGINT)
    else:
        head.terminate()
    gate.open()
    text = head.communicate()[0]
    assert head.returncode != 0, text
    assert not list((tmp_path / ".snakemake/locks").glob("*")), "the next start would be refused"
    place.finish_runs()  # by calls: the test above starts Snakemake again
    if how == "ctrl-C":
        assert "going on after" in "".join(capfd.readouterr())
    assert place.numbers() == undisturbed
    place.assert_tidy()


@pytest.mark.slow
def test_two_heads_in_one_folder(prepared, undisturbed, tmp_path, gate):
    place = prepared.copy(tmp_path)
    first = start(tmp_path, place, gate=gate)
    gate.held(first)
    second = start(tmp_path, place)
    text = second.communicate()[0]
    assert second.returncode != 0 and "lock" in text.lower()
    gate.open()
    text = first.communicate()[0]
    assert first.returncode == 0, text
    assert place.numbers() == undisturbed
    place.assert_tidy()


@pytest.mark.slow
def test_two_heads_in_two_folders_with_the_same_results(prepared, undisturbed, tmp_path):
    """Snakemake's locks do not see each other; those of the runs do."""
    place = prepared.copy(tmp_path)
    folders = [tmp_path / name for name in ("one", "two")]
    heads = []
    for folder in folders:
        folder.mkdir()
        (folder / "results").symlink_to(place.layout.results)
        heads.append(start(folder, place))
    texts = [head.communicate()[0] for head in heads]
    # One may have removed what the other was about to read: then the next start mends it.
    for folder, head, text in zip(folders, heads, texts, strict=True):
        if head.returncode:
            again = start(folder, place)
            assert again.communicate()[0] and again.returncode == 0, text
    assert place.numbers() == undisturbed
    place.assert_tidy()


@pytest.mark.slow
def test_a_run_that_is_killed_is_tried_again_by_itself(prepared, undisturbed, tmp_path, gate):
    """As the profile says; the rest goes on meanwhile."""
    place = prepared.copy(tmp_path)
    head = start(tmp_path, place, gate=gate)
    os.kill(gate.held(head)[0], signal.SIGKILL)
    gate.open()
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert "Trying to restart" in text
    assert place.numbers() == undisturbed
    place.assert_tidy()


def test_recover_has_nothing_to_say_of_a_finished_study(prepared, tmp_path):
    place = prepared.copy(tmp_path)
    remove(*place.outputs()["distil"])
    finish(place.fork("distil", 1000))
    assert said_to_recover(tmp_path, place) == "nothing is left of a workflow that died\n"
