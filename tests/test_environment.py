"""What is declared is what is used, everywhere the same."""

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
NEEDED = [Requirement(text) for text in PROJECT["dependencies"]]
# What `make setup` installs.
WANTED = NEEDED + [Requirement(text) for text in EXTRAS["dev"] + EXTRAS["slurm"]]


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def lock():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonical(name): pin for name, pin in pinned}


def imported(*folders):
    """Third-party distributions that the files of these folders import, by canonical name."""
    modules = set()
    for path in (p for folder in folders for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules.add(node.module.partition(".")[0])
    known = packages_distributions()
    return {canonical(known[m][0]) for m in modules - sys.stdlib_module_names if m in known}


def test_every_package_that_is_imported_is_declared_once_and_every_other_is_not():
    names = [canonical(requirement.name) for requirement in NEEDED]
    assert len(names) == len(set(names))
    extras = [*EXTRAS["tensorboard"], *EXTRAS["export"], *EXTRAS["store"], *EXTRAS["completion"]]
    optional = {canonical(Requirement(text).name) for text in extras}
    # pandas reads and writes Parquet through pyarrow; the workflow is Snakemake's.
    assert set(names) == imported("kd") - optional - {"kd-grid"} | {"pyarrow", "snakemake"}


def test_the_lock_has_exact_versions_that_the_project_allows():
    pinned = lock()
    for requirement in WANTED:
        name = canonical(requirement.name)
        assert name in pinned, f"{name} is missing in requirements.lock"
        assert requirement.specifier.contains(pinned[name]), f"{name}=={pinned[name]}"


def test_the_lock_serves_any_build_of_torch():
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash" not in text
    assert "+cpu" not in text


@pytest.mark.parametrize("name", ["environment.yml", "workflow/envs/kd.yaml"])
def test_conda_installs_what_make_does(name):
    path = ROOT / name
    content = yaml.safe_load(path.read_text())
    plain = [d for d in content["dependencies"] if isinstance(d, str)]
    (pip,) = [d["pip"] for d in content["dependencies"] if isinstance(d, dict)]
    assert {d.split("=")[0] for d in plain} == {"python", "pip"}
    (python,) = [d.split("=")[1] for d in plain if d.startswith("python")]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(python)

    said = dict(line.split() for line in pip)
    project, extras = said["--editable"].removesuffix("]").split("[")
    setup = re.search(
        r"--constraint (\S+) --editable '\.\[(.*)\]'", (ROOT / "Makefile").read_text()
    )
    assert extras == setup[2]
    # pip runs in the folder of the file; Snakemake copies its own to .snakemake/conda.
    places = (
        [path.parent] if name == "environment.yml" else [path.parent, ROOT / ".snakemake/conda"]
    )
    for place in places:
        assert Path(f"{place}/{said['--constraint']}").resolve() == ROOT / setup[1]
        assert Path(f"{place}/{project}").resolve() == ROOT


def script(name):
    """A program of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f".ci/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_lint_reports_what_is_installed_in_another_version_than_the_lock_has():
    text = "# a comment\nPyYAML==6.0\ntorch==2.13.0\nabsent==1.0\n"
    versions = {"pyyaml": "6.0", "torch": "2.14.0+cpu", "not-locked": "3.0"}
    found = script("lock").differences(text, versions)
    assert found == ["torch: 2.13.0 in the lock, 2.14.0 installed"]


def test_a_wheel_has_all_that_commands_read(tmp_path):
    """Built offline from a copy, since setuptools leaves a build folder where it works."""
    source = tmp_path / "source"
    shutil.copytree(ROOT / "kd", source / "kd", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    shutil.unpack_archive(wheel, site, "zip")

    beside = [p.relative_to(ROOT) for p in (ROOT / "kd").rglob("*") if p.is_file()]
    beside = {str(p) for p in beside if "__pycache__" not in p.parts}
    assert beside == {str(p.relative_to(site)) for p in (site / "kd").rglob("*") if p.is_file()}

    code = "import kd, sys; print(kd.__file__); from kd.cli.main import main; sys.exit(main())"
    run = subprocess.run(
        [sys.executable, "-c", code, "axes", "preset"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(site), "PATH": ""},
    )
    assert run.stdout.startswith(str(site)), run.stderr
    for name in ("tinybert", "minilmv2", "rail-kd"):
        assert name in run.stdout


# --- the audit ------------------------------------------------------------------------------------


@pytest.fixture
def audit():
    return script("audit")


FINE = {"name": "six", "version": "1.16.0", "vulns": []}
BAD = {"name": "jinja2", "version": "2.10", "vulns": [{"id": "PYSEC-2019-217"}]}
UNKNOWN = {"name": "six", "skip_reason": "Dependency not found"}


@pytest.mark.parametrize(
    ("errors", "rows", "said", "status"),
    [
        ("", [FINE, UNKNOWN], "no known vulnerability in 1 of 2 packages", 0),
        ("", [FINE, BAD], "jinja2 2.10: PYSEC-2019-217", 1),
        ("", [UNKNOWN], "audit skipped", 0),  # a mirror that knows no vulnerabilities
        ("requests.exceptions.ProxyError: HTTPSConnectionPool", None, "audit skipped", 0),
        ("ERROR:pip_audit._cli:Tip: your network may be blocking", None, "audit skipped", 0),
        ("ERROR:pip_audit._cli:invalid requirements input: x", None, "audit failed", 1),
        ("", None, "audit failed: it wrote no report", 1),
    ],
)
def test_an_audit_fails_for_a_vulnerability_and_is_skipped_without_its_source(
    audit, errors, rows, said, status
):
    text, code = audit.verdict(errors, rows and {"dependencies": rows})
    assert said in text and code == status


def test_an_audit_has_a_time_limit_and_names_no_host(audit, tmp_path, monkeypatch, capsys):
    def silent(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pip-audit").touch()
    monkeypatch.setattr(audit.subprocess, "run", silent)
    assert audit.main(tmp_path, ROOT / "requirements.lock") == 0
    assert "audit skipped: no answer within 300 s" in capsys.readouterr().out
    for path in ("Makefile", ".ci/audit.py"):
        assert not re.search(r"\w\.(org|com|io)\b", (ROOT / path).read_text()), path


def test_an_audit_reads_what_pip_audit_writes(audit, tmp_path, capsys):
    """Through a program of that name which answers as pip-audit 2.10 does."""
    program = tmp_path / "bin/pip-audit"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        "path = sys.argv[sys.argv.index('--output') + 1]\n"
        f"json.dump({{'dependencies': [{BAD!r}], 'fixes': []}}, open(path, 'w'))\n"
        "sys.exit(1)\n"
    )
    program.chmod(0o755)
    assert audit.main(tmp_path, ROOT / "requirements.lock") == 1
    assert "jinja2 2.10: PYSEC-2019-217" in capsys.readouterr().out


def parsed(name):
    return yaml.safe_load((ROOT / name).read_text())


def test_github_runs_what_ci_runs_with_the_oldest_python():
    content = parsed(".github/workflows/ci.yml")
    steps = [step for job in content["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [
        "make setup",
        ".ci/run",
        "make docs",
    ]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100
    versions = {step["with"]["python-version"] for step in steps if "setup-python" in str(step)}
    assert versions == {PROJECT["requires-python"].removeprefix(">=")}


def test_hooks_before_a_commit_are_checks_of_lint():
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        tool = hook["entry"].split("bin/")[1].removeprefix("python -m ").removesuffix(" check")
        assert f"$(BIN)/{tool.split(' --')[0]}" in lint, hook["id"]


def test_issue_forms_and_the_catalog_are_whole():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"):
        form = parsed(path)
        assert form["name"] and form["description"] and form["body"]
        ids = [part["id"] for part in form["body"]]
        assert len(ids) == len(set(ids))
    usage = parsed(".snakemake-workflow-catalog.yml")["usage"]
    assert usage["software-stack-deployment"]["conda"], "as the rules have an environment"
