"""No code from files, no way out of results/, no text in shells, no tokens in what is written."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from studies import tiny_study, write_study

from kd import cli
from kd.errors import UserError, without_secrets
from kd.grid import load_grid
from kd.layout import Layout
from kd.progress import step_state
from kd.state import read_state
from kd.study import load_study

ROOT = Path(__file__).parents[1]
LOADS = re.compile(r"\.from_(?:pretrained|config)\((?:[^()]|\([^()]*\))*\)")
TOKEN = "hf_" + "Ab3" * 11


def calls():
    """Every call in the package: (file, name, keywords)."""
    for path in sorted((ROOT / "kd").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                yield path.name, ast.unparse(node.func), {k.arg: k.value for k in node.keywords}


def test_nothing_is_unpickled_and_no_code_comes_from_the_hub():
    loads = 0
    for file, name, keywords in calls():
        assert name not in ("torch.load", "torch.save", "eval", "exec"), f"{file}: {name}"
        assert not name.startswith(("pickle.", "joblib.", "dill.")), f"{file}: {name}"
        if name == "np.load":
            loads += 1
            assert ast.unparse(keywords["allow_pickle"]) == "False", file
        remote = keywords.get("trust_remote_code")
        assert remote is None or ast.unparse(remote) == "False", f"{file}: {name}"
    assert loads, "np.load is no longer found: is this test?"


def test_every_pretrained_thing_is_loaded_without_remote_code():
    """Where the argument is not written out it comes with `_SAFE`."""
    for path in (ROOT / "kd").glob("*.py"):
        for line in re.findall(
            r"\.from_(?:pretrained|config)\((?:[^()]|\([^()]*\))*\)", path.read_text()
        ):
            if "save_pretrained" not in line:
                assert "trust_remote_code=False" in line or "_SAFE" in line, f"{path.name}: {line}"


@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ".", "a\nb", "", "a b", "a;id"])
def test_no_study_name_leaves_results(tmp_path, name):
    with pytest.raises(UserError, match="study"):
        load_study(write_study(tmp_path, tiny_study(study=name)))


@pytest.mark.parametrize("name", ["../../$(id)", "/tmp/x", "a b", "..", "a;id"])
def test_no_teacher_name_leaves_results(tmp_path, name):
    study = tiny_study()
    study["teachers"] = {name: study["teachers"]["deep"]}
    with pytest.raises(UserError, match="teachers: found"):
        load_grid(write_study(tmp_path, study))


def test_every_folder_is_named_by_a_slug_and_a_hash(tmp_path):
    study = tiny_study(axes={"knowledge": ["none", "logits+hidden*0.5%0-50", "hidden@emd"]})
    layout = Layout("results")
    for run in load_grid(write_study(tmp_path, study)).runs.values():
        for path in (
            layout.run(run),
            layout.teacher(run.teacher),
            layout.outputs(run.teacher, "t"),
        ):
            assert re.fullmatch(r"results(/[a-z0-9][a-z0-9.-]*)+", str(path)), path


def test_a_study_whose_path_would_do_something_in_a_shell(tmp_path):
    folder = tmp_path / "a b'; touch pwned; $(touch pwned) {run} \"q"
    folder.mkdir()
    path = write_study(folder, tiny_study(axes={"seed": [1]}))
    command = [Path(sys.executable).parent / "snakemake", "-s", ROOT / "Snakefile"]
    command += ["--directory", tmp_path, "--configfile", path, "--cores", "1", "--until", "data"]
    run = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.rglob("pwned*")) and not (ROOT / "pwned").exists()
    assert list((tmp_path / "results/data").glob("*/toy-single/text/train.parquet"))


def test_shell_lines_take_ids_and_counts_alone():
    """All else, which a user writes, reaches them through a quoted variable."""
    known = {"log", "threads", *(f"wildcards.{w}" for w in ("task", "tokens", "teacher", "need"))}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for line in re.findall(r"'(python -m kd .*)'", path.read_text()):
            assert set(re.findall(r"{([^{}]+)}", line)) <= known | {"wildcards.run"}, line
            assert '"$KD_STUDY"' in line


# --- tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [f"401 for {TOKEN}", f"Bearer {TOKEN}, retry", "my-own-secret"])
def test_no_token_in_a_text(monkeypatch, text):
    monkeypatch.setenv("HF_TOKEN", "my-own-secret")
    clean = without_secrets(text)
    assert TOKEN not in clean and "secret" not in clean and "***" in clean


@pytest.mark.parametrize("kind", [UserError, RuntimeError])
def test_no_token_in_a_log_or_a_state(tmp_path, monkeypatch, capsys, kind):
    def fails(_):
        with step_state(tmp_path, "distil"):
            raise kind(f"the hub said no to {TOKEN}")

    monkeypatch.setattr(cli, "_distil", fails)
    assert cli.main(["distil", "study.yaml", "--run", "a-1"]) in (1, 2)
    said = capsys.readouterr()
    assert "the hub said no to ***" in said.err
    assert TOKEN not in said.out + said.err
    assert TOKEN not in str(read_state(tmp_path))
