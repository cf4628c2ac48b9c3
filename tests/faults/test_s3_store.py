"""A study whose jobs share no folder: an S3 server on this machine, and a folder for each job.

The folder of a job is removed when it ends (pod.py).
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from faults import ROOT, Place, environment, snakemake, status, write
from helpers import save_encoder
from moments import Gate
from studies import tiny_study, write_study

BUCKET = "kd-test"
POD = f"{sys.executable} {ROOT / 'tests/faults/pod.py'}"

pytestmark = pytest.mark.store


@pytest.fixture(scope="module")
def server():
    """The address of an S3 server that lives as long as these tests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet)
    while socket.socket().connect_ex(("127.0.0.1", port)):
        assert process.poll() is None
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def objects(server):
    """All objects of the bucket, by name."""
    import boto3

    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    store = boto3.resource("s3", endpoint_url=server, region_name="us-east-1", **keys)
    return {found.key: found for found in store.Bucket(BUCKET).objects.all()}


def fetched(server, folder):
    """The records of the store in a folder of their own, as `aws s3 sync` would copy them."""
    for name, found in objects(server).items():
        if Path(name).suffix in (".json", ".csv", ".parquet"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            found.Object().download_file(str(folder / name))
    return folder


@pytest.fixture
def place(tmp_path):
    """A checkout and a study in it, since Snakemake packs what lies below its folder."""
    for name in ("Snakefile", "workflow", "profiles"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "pods").mkdir()
    return tmp_path


def start(folder, server, *arguments, **changes):
    options = {
        "--configfile": "study.yaml",
        "--executor": "cluster-generic",
        "--cluster-generic-submit-cmd": f"{POD} submit",
        "--cluster-generic-status-cmd": f"{POD} status",
        "--shared-fs-usage": "none",
        "--default-storage-provider": "s3",
        "--default-storage-prefix": f"s3://{BUCKET}",
        "--storage-s3-endpoint-url": server,
        "--seconds-between-status-checks": "1",
        "--jobs": "2",
    }
    command = [str(Path(sys.executable).parent / "snakemake"), "--job-deploy-sources"]
    for pair in options.items():
        command += pair
    keys = {f"SNAKEMAKE_STORAGE_S3_{name}": "test" for name in ("ACCESS_KEY", "SECRET_KEY")}
    # The jobs call `python`: that of their image, which is this one.
    keys["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(**keys, KD_PODS=str(folder / "pods"), **changes),
    )


def machines(folder):
    """The process groups of all jobs that have not ended."""
    pods = (folder / "pods").glob("*.pid")
    return [int(pod.read_text()) for pod in pods if not pod.with_suffix(".status").exists()]


def test_a_training_goes_on_in_another_folder_after_its_machine_is_lost(
    server, place, tmp_path_factory
):
    study = write(place, train=96, epochs=2, axes={"seed": [1, 2]})
    alone = Place(study, tmp_path_factory.mktemp("alone") / "results")
    wanted = alone.make("data", "tokenise", "teacher", "outputs").finish_runs().numbers()

    with Gate(place / "gate") as gate:
        # Each training saves its state after every step. The first, that of the teacher, is held.
        head = start(place, server, KD_CHECKPOINT_SECONDS="0", **gate.environment())
        gate.held(head)
        assert [n for n in objects(server) if n.endswith("/checkpoint.safetensors")]
        during = fetched(server, tmp_path_factory.mktemp("during"))
        assert status(during, study)["at_work"], "the store has no sign of the teacher"
        for machine in machines(place):
            os.killpg(machine, signal.SIGKILL)
        gate.open()
        text = head.communicate()[0]
    assert head.returncode == 0, text

    made = objects(server)
    assert not [n for n in made if n.endswith(("/checkpoint.safetensors", "/state.json"))]
    (log,) = [n for n in made if n.endswith("/log/teacher.log")]
    said = made[log].Object().get()["Body"].read().decode()
    assert "going on after" in said, said
    found = fetched(server, tmp_path_factory.mktemp("found"))
    assert Place(study, found / "results").numbers() == wanted
    assert status(found, study)["done"] == 2
    assert "results/studies/test/report.html" in made


def test_a_teacher_assistant_has_the_numbers_of_one_machine(server, place, tmp_path_factory):
    recipe = {"epochs": 1, "learning_rate": 1e-3}
    assistant = {"run": {"student": "2L-16-2h-32", "teacher": "deep"}}
    study = tiny_study(
        study="assistants",
        teachers={**tiny_study()["teachers"], "middle": assistant},
        base={"student": "1L-16-2h-32", "knowledge": "logits", "task": "toy-single", **recipe},
        axes={"teacher": ["deep", "middle"]},
    )
    path = write_study(place, study)
    head = start(place, server)
    text = head.communicate()[0]
    assert head.returncode == 0, text
    alone = tmp_path_factory.mktemp("alone")
    local = snakemake(alone, path, "--until", "evaluate")
    text = local.communicate()[0]
    assert local.returncode == 0, text
    found = fetched(server, tmp_path_factory.mktemp("found"))
    wanted = Place(path, alone / "results").numbers()
    assert {name: Place(path, found / "results").numbers()[name] for name in wanted} == wanted


def test_a_fine_tuned_teacher_has_all_files_that_its_rule_declares(server, place):
    given = save_encoder(place / "given", "bert")
    study = tiny_study(
        study="given",
        teachers={"given": {"model": str(given), "finetuned": True}},
        base={"student": "1L-16-2h-32", "knowledge": "logits", "task": "toy-pair", "epochs": 1},
        axes={"seed": [1]},
    )
    path = write_study(place, study)
    head = start(place, server, "--until", "evaluate")
    text = head.communicate()[0]
    assert head.returncode == 0, text
    found = fetched(server, place / "found")
    assert status(found, path)["done"] == 1
