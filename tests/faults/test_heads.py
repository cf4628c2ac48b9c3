"""Snakemake itself dies, is asked to end, or is started twice: nothing is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from faults import TIMES, Place, environment, finish, prepare, remove, snakemake, status

from kd.progress import is_alive

MOMENTS = 1 if TIMES < 10 else 5


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Its runs train for seconds."""
    return prepare(tmp_path_factory.mktemp("prepared"), train=1000, epochs=6)


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    return prepared.copy(tmp_path_factory.mktemp("undisturbed")).finish_runs().numbers()


def start(folder, place: Place, *arguments: str) -> "subprocess.Popen[str]":
    """The runs alone: tables and figures would only cost time."""
    arguments = ("--cores", "2", "--until", "evaluate", *arguments)
    return snakemake(folder, place.study, *arguments, KD_CHECKPOINT_SECONDS="0.05")


def until_training(place: Place, head: "subprocess.Popen[str]") -> None:
    while not list(place.layout.results.glob("runs/*/checkpoint.safetensors")):
        assert head.poll() is None, head.communicate()[0]
        time.sleep(0.02)


def said_to_recover(folder, place: Place) -> str:
    command = [sys.executable, "-m", "kd", "recover", str(place.study)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, env=environment()
    ).stdout


full = pytest.mark.skipif(TIMES < 20, reason="half a minute each: KD_FAULTS=20 runs them")


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize(
    "jobs_too",
    [pytest.param(False, id="head alone"), pytest.param(True, id="jobs too", marks=full)],
)
def test_a_head_that_is_killed(prepared, undisturbed, tmp_path, jobs_too, moment):
    """Its jobs go on without it, or die with it, as when the machine goes down."""
    place = prepared.copy(tmp_path)
    head = start(tmp_path, place)
    until_training(place, head)
    time.sleep(random.Random(moment).uniform(0, 2))
    if jobs_too:
        os.killpg(head.pid, signal.SIGKILL)
        while any(is_alive(pid) for pid in pids(place)):  # it takes a moment
            time.sleep(0.05)
    else:
        head.kill()
    head.wait()
    text = said_to_recover(tmp_path, place)
    if not jobs_too:
        assert "still works on it" in text or not pids(place)
    elif list(place.layout.results.glob("runs/*/checkpoint.safetensors")):
        assert "its process" in text and "the next start goes on" in text, text
    else:  # it came between two steps
        assert "the lock of a snakemake that is gone" in text, text

    again = start(tmp_path, place)
    text = again.communicate()[0]
    if again.returncode:
        assert "--unlock" in text, text
        assert "snakemake --unlock" in said_to_recover(tmp_path, place)
        assert start(tmp_path, place, "--unlock").wait() == 0
        again = start(tmp_path, place)
        text = again.communicate()[0]
    assert again.returncode == 0, text
    assert place.numbers() == undisturbed
    place.assert_tidy()
    assert status(tmp_path, place.study)["done"] == 2


def pids(place: Place) -> list[int]:
    """The processes that work on runs, or did when they were killed."""
    states = place.layout.results.glob("runs/*/state.json")
    return [json.loads(path.read_text())["pid"] for path in states]


@pytest.mark.parametrize("how", [pytest.param("SIGTERM to the head", marks=full), "ctrl-C"])
def test_a_head_that_is_asked_to_end(prepared, undisturbed, tmp_path, how):
    place = prepared.copy(tmp_path)
    head = start(tmp_path, place)
    until_training(place, head)
    if how == "ctrl-C":
        os.killpg(head.pid, signal.SIGINT)
    else:
        head.terminate()
    text = head.communicate()[0]
    assert head.returncode != 0, text
    again = start(tmp_path, place)
    text = again.communicate()[0]
    assert again.returncode == 0, text
    if how == "ctrl-C":
        logs = [p.read_text() for p in place.layout.results.glob("runs/*/log/distil.log")]
        assert any("going on after" in log for log in logs), logs
    assert place.numbers() == undisturbed
    place.assert_tidy()


@full
def test_two_heads_in_one_folder(prepared, undisturbed, tmp_path):
    place = prepared.copy(tmp_path)
    first = start(tmp_path, place)
    until_training(place, first)
    second = start(tmp_path, place)
    text = second.communicate()[0]
    assert second.returncode != 0 and "lock" in text.lower()
    text = first.communicate()[0]
    assert first.returncode == 0, text
    assert place.numbers() == undisturbed
    place.assert_tidy()


@full
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


@full
def test_a_run_that_is_killed_is_tried_again_by_itself(prepared, undisturbed, tmp_path):
    """As the profile says; the rest goes on meanwhile."""
    place = prepared.copy(tmp_path)
    head = start(tmp_path, place)
    until_training(place, head)
    os.kill(pids(place)[0], signal.SIGKILL)
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
