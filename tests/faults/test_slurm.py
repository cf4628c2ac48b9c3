"""A study on a real SLURM of two nodes with fake GPUs: whole, with a job cancelled, a node lost.

The cluster is put up by a script that is no part of the project (KD_SLURM_UP says where it is);
without it the tests are skipped, and so they are in the normal suite, since they take minutes.
"""

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SLURM_UP
from faults import ROOT, Place, environment, prepare, snakemake, status
from helpers import save_encoder
from moments import Gate
from slurm_profile import write_profile
from studies import tiny_study, write_study
from users import become, give

from kd.data.generated import generate
from kd.runtime.locks import only_one

RUN = Path("/run/slurm-up")  # its process ids
DEMO = ROOT / "config/studies/demo.yaml"

pytestmark = pytest.mark.slurm


@pytest.fixture(scope="module", autouse=True)
def cluster():
    with only_one(Path(tempfile.gettempdir()) / "kd-test-slurm.lock", lambda owner: None):
        done = subprocess.run(["bash", str(SLURM_UP), "up"], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no SLURM can be put up here: {(done.stdout + done.stderr)[-300:]}")
        yield
        # Its configuration goes too: each later Snakemake would wait 9 s for a controller.
        subprocess.run(["bash", str(SLURM_UP), "purge"], check=True)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepare(tmp_path_factory.mktemp("prepared"), train=200, epochs=2)


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    return prepared.copy(tmp_path_factory.mktemp("undisturbed")).finish_runs().numbers()


def on_slurm(
    folder: Path, study: Path, *arguments: str, gate: Gate | None = None, **settings: Any
) -> "subprocess.Popen[str]":
    profile = write_profile(folder / "profile", memory=900, gpu=True, **settings)
    arguments = ("--profile", str(profile), *arguments)
    # A job may hear of nothing: it saves its state every step, as others every five minutes.
    held = gate.environment() if gate else {}
    return snakemake(folder, study, *arguments, KD_CHECKPOINT_SECONDS="0", **held)


def test_an_ordinary_user(prepared, undisturbed, tmp_path):
    """The head and its jobs belong to `nobody`, who can only read the checkout."""
    nobody = pwd.getpwnam("nobody")
    ids = (nobody.pw_uid, nobody.pw_gid)
    place = prepared.copy(tmp_path / "theirs")
    folder = give(tmp_path / "theirs", *ids)
    user = become(*ids)
    reads = [*user, sys.executable, "-c", "import snakemake, torch, kd"]
    if subprocess.run(reads, cwd=folder, env=environment(), capture_output=True).returncode:
        pytest.skip("only root can read this checkout or its Python")
    profile = write_profile(tmp_path / "profile", memory=900, gpu=True)
    arguments = ("--profile", str(profile), "--until", "evaluate")
    own = {"HOME": str(folder), "KD_CACHE_DIR": str(folder), "USER": "nobody", "LOGNAME": "nobody"}
    head = snakemake(folder, place.study, *arguments, before=user, **own)
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert place.numbers() == undisturbed
    owners = {path.owner() for path in place.layout.results.rglob("*")}
    assert owners == {"nobody"}
    place.assert_tidy()


def squeue(form: str) -> list[list[str]]:
    """Running jobs of this user, in the columns of `form`."""
    command = ["squeue", "--me", "--noheader", "--states=R", f"--format={form}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [line.split() for line in text.splitlines()]


@pytest.fixture
def gate(tmp_path):
    with Gate(tmp_path / "gate") as made:
        yield made


def test_every_rule_runs_and_short_runs_share_a_job(tmp_path):
    """The demo with one student and one seed: every rule, every kind of knowledge, in short."""
    study = yaml.safe_load(DEMO.read_text())
    study["data"] |= {"train": 400, "dev": 200}
    study["axes"] |= {"student": study["axes"]["student"][:1], "seed": [1]}
    path = write_study(tmp_path, study)
    # As the profile's comments say: a teacher and what is stored of it, and two runs, are one job.
    grouped = {"groups": {"teacher": "teacher", "outputs": "teacher"}}
    head = on_slurm(tmp_path, path, **grouped, **{"group-components": {"run": 2}})
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert (tmp_path / "results/studies/demo/report.html").is_file()
    assert status(tmp_path, path)["done"] == 3
    assert text.count("has been submitted with SLURM jobid") == 5, text


def test_the_demo_study_runs_whole(tmp_path):
    head = on_slurm(tmp_path, DEMO)
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert (tmp_path / "results/studies/demo/report.html").is_file()


def test_a_teacher_assistant_that_starts_from_a_stage(tmp_path):
    """Corpus, stages, assistant and its student; the numbers are those of one machine."""
    recipe = {"epochs": 1, "learning_rate": 1e-3}
    stage = {"corpus": {"files": "text.txt", "held_out": 0.1}, "teacher": "deep"}
    stage |= {"knowledge": "hidden", "steps": 6, "batch_size": 4, "max_length": 16}
    assistant = {"student": "2L-16-2h-32", "teacher": "deep", "init": "stage:general"}
    study = tiny_study(
        teachers={"deep": {"model": "./deep", **recipe}, "middle": {"run": assistant}},
        stages={"general": stage},
        base={"student": "1L-16-2h-32", "knowledge": "logits", "task": "toy-single", **recipe},
        axes={"teacher": ["middle"], "init": ["stage:general"]},
    )
    places = []
    for name in ("alone", "there"):
        (tmp_path / name).mkdir()
        save_encoder(tmp_path / name / "deep", "bert")
        rows = [row["sentence1"] for row in generate("toy-single", "train", 300)]
        (tmp_path / name / "text.txt").write_text("\n".join(rows))
        places.append(Place(write_study(tmp_path / name, study)))
    alone, there = places
    # `--until evaluate` would end at the assistant's evaluation.
    until = ("--until", "collect")
    local = snakemake(tmp_path / "alone", alone.study, *until)
    head = on_slurm(tmp_path / "there", there.study, *until)
    for process in (local, head):
        text = process.communicate()[0]
        assert process.returncode == 0, text
    assert there.numbers() == alone.numbers()
    runs = list(there.layout.results.glob("runs/*/metrics.json"))
    assert len(runs) == 2, "the assistant and its student"
    assert "rule stage:" in text and "rule corpus:" in text


def test_the_numbers_are_those_of_one_machine_whatever_is_cancelled(
    prepared, undisturbed, tmp_path, gate
):
    place = prepared.copy(tmp_path)
    head = on_slurm(tmp_path, place.study, "--until", "evaluate", gate=gate)
    gate.held(head, count=2)
    subprocess.run(["scancel", *(job for (job,) in squeue("%i"))], check=True)
    gate.signalled(head)
    gate.open()
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert "Trying to restart" in text
    logs = [path.read_text() for path in place.layout.results.glob("runs/*/log/distil.log")]
    assert any("going on after" in log for log in logs), logs
    assert place.numbers() == undisturbed
    place.assert_tidy()


def test_a_node_that_is_lost(prepared, undisturbed, tmp_path, gate):
    place = prepared.copy(tmp_path)
    head = on_slurm(tmp_path, place.study, "--until", "evaluate", gate=gate)
    gate.held(head, count=2)
    lose(squeue("%N")[0][0])
    gate.open()
    try:
        text = head.communicate()[0]
    finally:
        subprocess.run(["bash", str(SLURM_UP), "up"], check=True, capture_output=True)
    assert head.returncode == 0, text
    # SLURM itself queues the jobs of a lost node again; where it does not, Snakemake does.
    logs = [path.read_text() for path in place.layout.results.glob("runs/*/log/distil.log")]
    assert any("going on after" in log for log in logs), logs
    assert place.numbers() == undisturbed
    place.assert_tidy()


def lose(node: str) -> None:
    """End all that runs of a node at once: its daemon, and the processes of its jobs."""
    daemon = int((RUN / f"slurmd.{node}.pid").read_text())
    jobs = subprocess.run(
        ["squeue", "--me", "--noheader", f"--nodelist={node}", "--format=%i"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    doomed = [daemon]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().split(b"\0")
            name = (process / "cmdline").read_bytes()
        except OSError:
            continue
        of_job = any(f"SLURM_JOB_ID={job}".encode() in variables for job in jobs)
        steps_of = any(name.startswith(f"slurmstepd: [{job}.".encode()) for job in jobs)
        if of_job or steps_of:
            doomed.append(int(process.name))
    for pid in doomed:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            continue


def test_the_head_is_killed_and_its_jobs_go_on(prepared, undisturbed, tmp_path, gate):
    place = prepared.copy(tmp_path)
    head = on_slurm(tmp_path, place.study, "--until", "evaluate", gate=gate)
    gate.held(head)
    head.kill()
    head.wait()
    assert on_slurm(tmp_path, place.study, "--unlock").wait() == 0
    again = on_slurm(tmp_path, place.study, "--until", "evaluate")
    gate.open()
    text = again.communicate()[0]
    assert again.returncode == 0, text
    assert place.numbers() == undisturbed
    place.assert_tidy()
