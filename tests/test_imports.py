"""The contracts of pyproject.toml: import-linter refuses a wrong import."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINTER = [Path(sys.executable).parent / "lint-imports", "--no-logo", "--no-cache"]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("losses/reduce.py", "import kd.training.loop", "kd.losses is not allowed to import kd.tr"),
        ("results/columns.py", "import kd.jobs.distil", "kd.results.columns -> kd.jobs.distil"),
        ("study/run.py", "import pandas", "kd.study is not allowed to import pandas"),
        ("results/record.py", "import torch", "kd.results is not allowed to import torch"),
        ("new_room/__init__.py", "", "kd.new_room"),
    ],
)
def test_a_wrong_import_is_refused(tmp_path, file, line, message):
    shutil.copytree(ROOT / "kd", tmp_path / "kd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "kd" / file
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as module:
        module.write(f"\n{line}\n")
    run = subprocess.run(LINTER, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1
    assert message in run.stdout
