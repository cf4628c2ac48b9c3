"""The workflow as a module of another Snakefile, as docs/library.md shows it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snippets import snippet
from studies import tiny_study, write_study

ROOT = Path(__file__).parents[1]
OUTER = snippet("docs/library.md", "python", 1)


def start(folder, text, *arguments):
    """Snakemake on a Snakefile of the user's own, in a folder of the user's own."""
    (folder / "Snakefile").write_text(text.replace("/path/to/kd-grid", str(ROOT)))
    return subprocess.run(
        [Path(sys.executable).parent / "snakemake", "--cores", "1", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outer")
    study = tiny_study(study="mine", axes={"knowledge": ["none", "logits"]})
    write_study(folder, study, "mine.yaml")
    (folder / "config.yaml").write_text(yaml.safe_dump({"journal": "a"}))
    return folder


def test_its_rules_and_those_of_the_other_snakefile_make_one_graph(folder):
    """The other has its target, a config file and --config of its own."""
    run = start(folder, OUTER, "-n", "--configfile", "config.yaml", "--config", "journal=b")
    assert run.returncode == 0, run.stdout + run.stderr
    said = run.stdout + run.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    wanted = {"kd_data": 1, "kd_tokenise": 1, "kd_teacher": 1, "kd_outputs": 1, "kd_distil": 2,
              "kd_evaluate": 2, "kd_collect": 1, "paper": 1, "total": 10}  # fmt: skip
    assert {name: int(count) for name, count in jobs.items()} == wanted


@pytest.mark.slow
def test_a_job_of_it_finds_its_study(folder):
    run = start(folder, OUTER, "--until", "kd_data")
    assert run.returncode == 0, run.stdout + run.stderr
    assert list((folder / "results/data").glob("*/toy-single/text/train.parquet"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            '    prefix: "there"\n',
            "error: module: prefix and replace_prefix change where rules",
        ),
        (
            '\nmodule b:\n    snakefile: "/path/to/kd-grid/Snakefile"\n'
            '    config: {"study_file": "other.yaml"}\n\nuse rule * from b as b_*\n',
            "error: module: found a second study, other.yaml, beside mine.yaml",
        ),
    ],
)
def test_what_a_module_cannot_do_is_refused_in_a_sentence(folder, more, message):
    line = '    config: {"study_file": "mine.yaml"}\n'
    text = OUTER.replace(line, line + more) if "prefix" in more else OUTER + more
    run = start(folder, text, "-n")
    assert run.returncode != 0
    assert message in run.stderr
