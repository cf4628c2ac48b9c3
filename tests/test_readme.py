"""The commands and the study of the README, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kd.monitor.plan import plan
from kd.results.figures.draw import write_figures
from kd.results.record import read_runs
from kd.study.grid import load_grid
from kd.study.paths import Layout

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
LINES = [
    line.split(" #")[0].strip()
    for language, block in BLOCKS
    if language == "bash"
    for line in block.splitlines()
]


@pytest.fixture
def study(tmp_path):
    """The study of the README, saved under the name that it says."""
    (block,) = [block for language, block in BLOCKS if language == "yaml"]
    path = tmp_path / "my-mapping.yaml"
    path.write_text(block)
    return path


def test_the_study_in_the_readme(study):
    grid = load_grid(study)
    # 3 mappings and 2 controls, on 2 tasks with 3 seeds
    assert len(grid.runs) == (3 + 2) * 2 * 3


MAKES = {
    "make demo": r"bin/snakemake --cores all$",
    "make test": r"bin/python -m pytest ",
    "make setup": "",  # here it is done
}


def test_make_targets_start_what_the_readme_says():
    assert [line for line in LINES if line.startswith("make ")] == list(MAKES)
    for line, wanted in MAKES.items():
        command = [*line.split(), "--dry-run"]
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        assert re.search(wanted, run.stdout, flags=re.MULTILINE), run.stdout


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(("python", "snake"))])
def test_commands(line, tmp_path, study):
    """Snakemake's are dry runs, since the studies of the README train BERT-base."""
    words = line.replace(study.name, str(study)).split()
    if words[0] == "snakemake":
        words += ["--dry-run", "--quiet", "--directory", str(tmp_path)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_files_that_the_readme_names_exist():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        file, _, section = target.partition("#")
        assert (ROOT / file).exists(), target
        headings = re.findall("^#+ (.*)", (ROOT / file).read_text(), re.M) if section else []
        assert not section or section in [h.lower().replace(" ", "-") for h in headings], target


def test_the_figure_is_that_of_the_shipped_record(tmp_path):
    """docs/demo.png is drawn again from results/records/demo/runs.csv; to the pixel, but for what
    another build of a font library rounds otherwise."""
    write_figures(ROOT / "results/records/demo/runs.csv", tmp_path, ["score-parameters"])
    drawn, shipped = (
        np.asarray(Image.open(path).convert("L"), dtype=float)
        for path in (tmp_path / "score-parameters.png", ROOT / "docs/demo.png")
    )
    assert drawn.shape == shipped.shape
    assert np.sqrt(np.mean((drawn - shipped) ** 2)) < 10, (
        "kd figures, then copy it to docs/demo.png"
    )


def test_the_numbers_of_the_readme_are_those_of_the_record():
    frame = read_runs(ROOT / "results/records/demo/runs.csv")
    assert len(frame) == len(load_grid(ROOT / "config/studies/demo.yaml").runs)
    for study in ("config/studies/demo.yaml", "results/records/demo/study.yaml"):
        assert set(frame["run"]) == set(load_grid(ROOT / study).runs)
    points = frame.assign(score=100 * frame["score"]).groupby(["student", "knowledge"])["score"]
    told = [f"{cell.mean():.1f} ± {cell.std():.1f}" for _, cell in points]
    used = re.findall(r"\d+\.\d ± \d+\.\d", README)
    assert len(used) == 4 and set(used) <= set(told)
    assert f"the teacher has {100 * frame['teacher_score'].max():.1f}" in " ".join(README.split())


def test_the_costs_in_the_readme_are_those_that_plan_estimates(tmp_path):
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| (\d+) \| ([\d.]+) \| (\d+) \|$", README, re.M)
    assert len(rows) == 4
    for name, runs, hours, disk in rows:
        grid = load_grid(ROOT / f"config/studies/{name}.yaml")
        found = plan(grid, Layout(tmp_path), "gpu")
        assert found["runs"] == int(runs), name
        assert found["device_hours"] == pytest.approx(float(hours), rel=0.04), name
        assert found["disk_bytes"] / 1e9 == pytest.approx(int(disk), abs=0.6), name
