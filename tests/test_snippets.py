"""Every block of code of the pages is run by a test: studies are planned, Python is run, and
`test_documented_commands` has the commands."""

import gzip
import re
from typing import Any

import pytest
import torch
import yaml
from datasets import Dataset, Features, Sequence, Value
from helpers import tiny_inputs, tiny_model
from snippets import ROOT, snippet, snippets
from torch import Tensor
from torch.nn import functional as F

from kd.axes import matchings
from kd.axes.matchings import Matching
from kd.axes.plugins import activate
from kd.data import own_hub
from kd.losses import vectors
from kd.losses.reduce import mean, sides
from kd.losses.table import LOSSES, loss_of
from kd.monitor.plan import plan
from kd.study.grid import load_grid
from kd.study.paths import Layout

# What a page has besides: a folder's tree, which `make generated` writes or a person reads.
SHOWN = {("CONTRIBUTING.md", "text", 0), ("results/README.md", "text", 0)}
# The tests that run the Python of the pages.
PYTHON = {
    ("docs/library.md", 0): "test_snippets.py::test_the_loop_of_the_library",
    ("docs/library.md", 1): "test_module.py::test_its_rules_and_those_of",
    ("docs/plugins.md", 0): "jobs/test_plugin_steps.py::done",
    ("docs/plugins.md", 1): "jobs/test_plugin_steps.py::test_a_knowledge_type_of_the_page",
    ("docs/shipping.md", 0): "jobs/test_export.py::test_the_python_of_the_page_runs",
    ("docs/shipping.md", 1): "jobs/test_export.py::test_the_python_of_the_page_runs",
    ("CONTRIBUTING.md", 0): "test_snippets.py::test_the_example_of_a_matching",
}
TEXTS = [f"text {i}" for i in range(40)]
# The files that studies of the pages name: columns and their values.
FILES = {
    "unlabelled/a.csv.gz": {"review": TEXTS},
    "text/a.txt.gz": {"": TEXTS},
    "text/a.txt": {"": TEXTS},
    "data/train.csv": {"question": TEXTS, "topic": ["x", "y"] * 20},
    "data/dev.csv": {"question": TEXTS, "topic": ["x", "y"] * 20},
    "sick.tsv": {"sentence_A": TEXTS, "sentence_B": TEXTS[::-1], "relatedness_score": [1, 5] * 20},
}
# What the parts of a study that pages show lack. Each has all else that it needs.
REST: dict[str, Any] = {
    "study": "page",
    "data": {"source": "hub"},
    "teachers": {"bert-base": {"model": "google-bert/bert-base-uncased"}},
    "axes": {"seed": [1]},
}


def write_files(folder):
    for name, columns in FILES.items():
        separator = "\t" if ".tsv" in name else ","
        rows = [[*columns], *zip(*columns.values(), strict=True)]
        text = "\n".join(separator.join(map(str, row)) for row in rows).strip() + "\n"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())


def test_every_block_is_run_by_a_test():
    languages = {"bash", "yaml", "python"}  # each has its test, for all blocks of all pages
    others = {s[:3] for s in snippets() if s.language not in languages}
    assert others == SHOWN, "bash, yaml and python are tested: say what a block is after ```"
    assert {(s.page, s.number) for s in snippets("python")} == {*PYTHON}
    for (page, _), test in PYTHON.items():
        file, name = test.split("::")
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        assert f"def {name}" in code and page in code, f"{page}: {test}"


@pytest.mark.parametrize("page", snippets("yaml"), ids=lambda s: f"{s.page}-{s.number}")
def test_studies_are_planned(page, tmp_path, monkeypatch):
    """Whole studies as they are, parts with the least that they need besides."""
    shown = yaml.safe_load(page.text)
    base = {"student": "2L-128", "knowledge": "logits", "task": "sst2", **shown.get("base", {})}
    study = REST | shown | {"base": base}
    if tasks := shown.get("tasks"):  # all of them, and one of GLUE
        study["axes"] = study["axes"] | {"task": [*tasks, "sst2"]}
    write_files(tmp_path)
    for plugin in study.get("plugins", []):
        (tmp_path / plugin).write_text(snippet(page.page, "python"))
    tags = Features({"text": Value("string"), "tags": Sequence(Value("string"))})
    hub = Dataset.from_dict({"text": TEXTS, "tags": [["a"], ["a", "b"]] * 20}, features=tags)
    monkeypatch.setattr(own_hub, "load_hub_split", lambda *_, **__: (hub, None))
    path = tmp_path / "study.yaml"
    path.write_text(page.text if {*REST} <= {*shown} else yaml.safe_dump(study, sort_keys=False))
    try:
        grid = load_grid(path)
        assert plan(grid, Layout(tmp_path / "results"), "cpu")["runs"] == len(grid.runs) > 0
    finally:
        activate(())
    for axis, values in study["axes"].items():
        shown_by = {run.labels[axis] for run in grid.runs.values()}
        assert len(shown_by - {"-"}) == len(values), axis
    assert {run.stage.name for run in grid.runs.values() if run.stage} == {*shown.get("stages", {})}


def test_the_loop_of_the_library():
    student, teacher = tiny_model(), tiny_model(seed=1)
    batch = tiny_inputs(student) | {"labels": torch.tensor([0, 1, 0])}
    names = {"torch": torch, "student": student, "teacher": teacher, "batches": [batch] * 5}
    before = student.classifier.weight.clone()
    exec(snippet("docs/library.md", "python"), names)
    assert names["loss"] > 0 and not torch.equal(student.classifier.weight, before)


def test_the_example_of_a_matching(monkeypatch):
    """CONTRIBUTING.md: a function, and its two rows, each in the file that its comment names."""
    _, function, name, row = re.split(
        r"^# kd/\S+\.py.*\n", snippet("CONTRIBUTING.md", "python"), flags=re.MULTILINE
    )
    names: dict[str, Any] = {"Tensor": Tensor, "F": F, "mean": mean, "sides": sides}
    exec(function, names)
    monkeypatch.setattr(vectors, "token_huber", names["token_huber"], raising=False)
    (loss,) = eval(f"({name})", {"vectors": vectors})
    monkeypatch.setitem(LOSSES, loss.__name__, loss)
    rows = eval(f"{{{row}}}", {"Matching": Matching})
    monkeypatch.setitem(matchings.MATCHINGS["tokens"], "huber", rows["huber"])
    one, other, mask = torch.zeros(2, 3, 4), torch.full((2, 3, 4), 3.0), torch.ones(2, 3).bool()
    found = loss_of(matchings.MATCHINGS["tokens"]["huber"])
    assert found(one, one, mask) == 0 and found(one, other, mask) == 3 - 0.5
