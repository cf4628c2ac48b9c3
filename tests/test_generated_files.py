"""What is generated from the code is current, and the tree in CONTRIBUTING.md has every file."""

import re
import subprocess
from pathlib import Path

import pytest
from test_environment import script

ROOT = Path(__file__).parents[1]
GENERATE = script("generate")


@pytest.mark.parametrize("name", GENERATE.GENERATED)
def test_a_generated_file_is_current(name):
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATE.GENERATED[name](), "make generated"


def test_the_tree_has_every_file_once():
    command = ["git", "ls-files", "-co", "--exclude-standard", "kd", "workflow", "Snakefile"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout of git")
    folders = [name for name in GENERATE.DATA if (ROOT / name).is_dir()]
    wanted = [
        Path(name).parent.name + "/" if name.endswith("__init__.py") else Path(name).name
        for name in listed.stdout.splitlines()
        if (ROOT / name).exists() and not any(name.startswith(f"{folder}/") for folder in folders)
    ]
    wanted += [f"{Path(folder).name}/" for folder in folders] + ["workflow/", "rules/"]
    found = [line.split()[0] for line in GENERATE.tree()]
    assert sorted(found) == sorted(wanted)


def test_a_line_of_the_tree_says_something():
    bare = [line for line in GENERATE.tree() if len(line.split()) < 2]
    assert [line.strip() for line in bare] == ["workflow/", "rules/", "kd/"]


DOCS = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
PAGES = ["CONTRIBUTING.md", "README.md", "config/README.md", *DOCS]


@pytest.mark.parametrize("page", PAGES)
def test_a_file_that_a_page_names_exists(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:kd|tests|workflow|docs|config|profiles)/[\w./-]*)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
