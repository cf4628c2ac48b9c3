"""No code from files, no way out of results/, no text in shells, no tokens in what is written."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from studies import tiny_study, write_study

from kd.cli import main as cli
from kd.cli import steps
from kd.runtime.errors import UserError, without_secrets
from kd.runtime.progress import step_state
from kd.runtime.state import read_state
from kd.study.check import load_study
from kd.study.grid import load_grid
from kd.study.paths import Layout

ROOT = Path(__file__).parents[1]
TOKEN = "hf_" + "Ab3" * 11


def unsafe(source):
    """What a module calls that could run code from a file or from the hub."""
    tree = ast.parse(source)
    # Names of the module that stand for `trust_remote_code=False`.
    safe = {
        ast.unparse(node.targets[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "'trust_remote_code': False" in ast.unparse(node.value)
    }
    options = {("trust_remote_code", "False"), *(("**", name) for name in safe)}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        given = {(word.arg or "**", ast.unparse(word.value)) for word in call.keywords}
        if any(
            [
                re.match(r"(pickle|joblib|dill|marshal|shelve)\.|(eval|exec|torch\.save)$", name),
                name == "torch.load" and ("weights_only", "True") not in given,
                name in ("np.load", "numpy.load") and ("allow_pickle", "False") not in given,
                name.endswith((".from_pretrained", ".from_config")) and not options & given,
                any(key == "trust_remote_code" and value != "False" for key, value in given),
            ]
        ):
            yield ast.unparse(call)


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pickle.load(handle)",
        "eval(text)",
        "AutoModel.from_pretrained(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=True)",
        "OPTIONS = {'dtype': 'auto'}\nAutoModel.from_pretrained(path, **OPTIONS)",
    ],
)
def test_what_is_unsafe_is_found(source):
    assert len(list(unsafe(source))) == 1


def test_no_module_loads_code_from_a_file_or_from_the_hub():
    sources = {path: path.read_text() for path in (ROOT / "kd").rglob("*.py")}
    whole = "\n".join(sources.values())
    assert ".from_pretrained(" in whole and "np.load(" in whole, "these are not kd's modules"
    calls = {path.name: found for path, text in sources.items() if (found := list(unsafe(text)))}
    assert calls == {"plugins.py": ["exec(code, module.__dict__)"]}, "the user's own plugins alone"


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


@pytest.mark.slow
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
    ids = ("task", "tokens", "teacher", "need", "extra", "corpus", "stage", "run")
    known = {"log", "threads", *(f"wildcards.{name}" for name in ids)}
    lines = [
        line
        for path in (ROOT / "workflow/rules").glob("*.smk")
        for line in re.findall(r"'(python -m kd .*)'", path.read_text())
    ]
    assert {"data", "distil", "evaluate", "report"} <= {line.split()[3] for line in lines}
    for line in lines:
        assert set(re.findall(r"{([^{}]+)}", line)) <= known, line
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

    monkeypatch.setattr(steps, "_distil", fails)
    assert cli.main(["distil", __file__, "--run", "a-1"]) in (1, 2)
    said = capsys.readouterr()
    assert "the hub said no to ***" in said.err
    assert TOKEN not in said.out + said.err
    assert TOKEN not in str(read_state(tmp_path))
