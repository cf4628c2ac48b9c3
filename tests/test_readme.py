"""The commands and the study of the README, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kd.grid import load_grid

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
LINES = [
    line.split(" #")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
]


def test_the_study_in_the_readme(tmp_path):
    (block,) = [block for language, block in BLOCKS if language == "yaml"]
    path = tmp_path / "study.yaml"
    path.write_text(block)
    grid = load_grid(path)
    # 3 mappings and 2 controls, on 2 tasks with 3 seeds
    assert len(grid.runs) == (3 + 2) * 2 * 3


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_targets(line):
    subprocess.run([*line.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("python", "snake"))])
def test_commands(line, tmp_path):
    """Snakemake's are dry runs: the studies of the README train BERT-base."""
    words = line.split()
    if words[0] == "snakemake":
        words += ["--dry-run", "--quiet", "--directory", str(tmp_path)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_files_that_the_readme_names_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
