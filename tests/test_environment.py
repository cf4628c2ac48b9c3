"""pyproject.toml, the lock and environment.yml say the same; what is installed is the lock."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    Requirement(text)
    for text in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): pin for name, pin in pinned}


def test_the_lock_has_exact_versions_that_the_project_allows():
    pinned = lock()
    for requirement in WANTED:
        name = canonical(requirement.name)
        assert name in pinned, f"{name} is missing in requirements.lock"
        assert requirement.specifier.contains(pinned[name]), f"{name}=={pinned[name]}"
    assert pinned["torch"] == "2.13.0"


def test_the_lock_serves_any_build_of_torch():
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash" not in text
    assert "+cpu" not in text


def test_conda_installs_the_same_lock():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [d for d in content["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in content["dependencies"] if isinstance(d, dict)]
    assert pip == ["--constraint requirements.lock", "--editable .[dev]"]
    assert {d.split("=")[0] for d in plain} == {"python", "pip"}
    (python,) = [d.split("=")[1] for d in plain if d.startswith("python")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)


def test_what_is_installed_is_the_lock():
    pinned = lock()
    for requirement in WANTED:
        installed = version(requirement.name).split("+")[0]
        assert installed == pinned[canonical(requirement.name)], requirement.name
