"""A checkpoint is of the code that its numbers depend on, and of no other."""

import shutil
import subprocess
import sys

import pytest
import torch

from kd.jobs import circumstances

CPU = torch.device("cpu")

# Imports the jobs that train, and prints who imported whom: what Python does, not what a text says.
WATCHED = """
import builtins
load = builtins.__import__
def watched(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if name.startswith("kd"):
        print(importer, name)
        for one in fromlist or ():
            print(importer, f"{name}.{one}")
    return load(name, globals, locals, fromlist, level)
builtins.__import__ = watched
import kd.jobs.teacher, kd.jobs.distil, kd.jobs.stage
"""


@pytest.fixture(scope="module")
def edges():
    """{(importer, imported)} of the modules of kd in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True
    )
    lines = (line.split() for line in done.stdout.splitlines())
    return {tuple(line) for line in lines if len(line) == 2}


@pytest.mark.slow
def test_what_a_training_really_imports_is_among_its_modules(edges):
    modules = set(circumstances.training_modules())
    imported = {b for a, b in edges if a in modules and circumstances._file(b).is_file()}
    assert len(imported) > 40
    lacking = {name for name in imported - modules if name != "kd"}
    assert all(map(circumstances._changes_nothing, lacking)), lacking


def test_every_module_is_imported_by_another_one(edges):
    """None is left over, but for those that a function imports."""
    modules = set(circumstances.training_modules())
    reached = {*circumstances._TRAININGS, *circumstances._NUMBERS}
    for _ in modules:
        reached |= {b for a, b in edges if a in reached and b in modules}
    names = ("own_hub", "own_label_sets", "own_reading", "text", "tsv")
    own_data = {f"kd.data.{name}" for name in names}
    assert modules - reached == {"kd.data.generated", *own_data}


def test_every_exception_is_one(edges):
    modules = set(circumstances.training_modules())
    for name in circumstances._NO_NUMBERS:
        assert any(f"{b}.".startswith(f"{name}.") for a, b in edges if a in modules), (
            f"{name}: no training imports it; take it off the list"
        )


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("losses/reduce.py", True),
        ("training/schedule.py", True),
        ("runtime/bf16.py", True),
        ("runtime/device.py", True),
        ("axes/weights.py", True),
        ("data/tokens.py", True),
        ("jobs/distil.py", True),
        ("jobs/evaluate.py", False),
        ("runtime/errors.py", False),
        ("results/columns.py", False),
        ("cli/main.py", False),
        ("axes/page.py", False),
    ],
)
def test_a_change_counts_where_numbers_depend_on_it(tmp_path, monkeypatch, file, counts):
    shutil.copytree(circumstances._PACKAGE, tmp_path / "kd", ignore=lambda *_: ["__pycache__"])
    monkeypatch.setattr(circumstances, "_PACKAGE", tmp_path / "kd")
    before = circumstances.circumstances(CPU, 1)["code"]
    with (tmp_path / "kd" / file).open("a") as handle:
        handle.write("# a change\n")
    assert (circumstances.circumstances(CPU, 1)["code"] != before) == counts
