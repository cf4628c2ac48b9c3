"""Writes every file that is generated from the code: schemas, pages, the tree in CONTRIBUTING.md.

`make generated` runs it. `tests/test_generated_files.py` compares the files with what it writes.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from kd.cli.main import main as kd
from kd.results.answers import read_answers
from kd.results.power.variances import known_from, table_of
from kd.results.record import load_record
from kd.results.report.first_answer import first_answer

ROOT = Path(__file__).parents[1]
_COLUMN = 34  # where the phrases of the tree begin
# Files and folders of the tree that cannot say themselves what they hold.
DATA = {
    "workflow/envs": "The environment of jobs with `--sdm conda`",
    "workflow/report": "Captions of the files in Snakemake's own report",
    "workflow/schemas": "JSON schemas of studies, records and runs.csv (make generated)",
    "kd/axes/presets": "Published methods, a YAML file each",
    "kd/axes/citations.bib": "The works behind the tables",
    "kd/results/power/shipped.csv": "Variances of the shipped records (make generated)",
    "kd/results/report/report.html.jinja": "The page of the report, without its numbers",
    "kd/results/report/browser": "Its style, and its scripts: base, charts, runs",
    "kd/monitor/watch/page.html.jinja": "The page of the live view, and what refreshes it",
    "kd/monitor/watch/view.html.jinja": "What that page shows, written anew at each refresh",
}
# The records whose variances `kd power` has by itself: name and runs.csv.
RECORDS = {
    "demo": "results/records/demo/runs.csv",
    "reference-knowledge": "results/records/reference/knowledge/runs.csv",
    "reference-matching": "results/records/reference/matching/runs.csv",
    "reference-mapping": "results/records/reference/mapping/runs.csv",
    "reference-initialisation": "results/records/reference/initialisation/runs.csv",
    "reference-model-size": "results/records/reference/model-size/runs.csv",
    "reference-width-depth": "results/records/reference/width-depth/runs.csv",
}


def shipped_variances() -> str:
    """The variances of RECORDS as CSV."""
    known = {}
    for name, path in RECORDS.items():
        record = ROOT / path
        known[name] = known_from(load_record(record).runs, read_answers(record), name)
    return table_of(known)


def printed(*words: str) -> str:
    """What a command of kd prints."""
    with redirect_stdout(StringIO()) as out:
        if kd(words):
            raise SystemExit(f"kd {' '.join(words)} failed")
    return out.getvalue()


def with_tree() -> str:
    """CONTRIBUTING.md with the tree of today."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = "\n".join(
        ["<!-- tree: make generated -->", "```text", *tree(), "```", "<!-- /tree -->"]
    )
    return re.sub(r"<!-- tree.*?<!-- /tree -->", lambda _: block, text, flags=re.DOTALL)


def with_first_answer() -> str:
    """README.md with what the reference study says, as soon as it says something."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    answer = first_answer(ROOT / "results/records/reference", "docs")
    block = "\n\n".join(
        filter(None, ["<!-- first answer: make reference -->", answer, "<!-- /first answer -->"])
    )
    return re.sub(
        r"<!-- first answer.*?<!-- /first answer -->", lambda _: block, text, flags=re.DOTALL
    )


def tree() -> list[str]:
    """A line for each file of workflow/ and kd/, rooms in the order of their imports."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (rooms,) = (
        contract["layers"]
        for contract in config["tool"]["importlinter"]["contracts"]
        if contract["id"] == "rooms"
    )
    order = re.findall(r'"(workflow/[a-z/]+\.smk)"', (ROOT / "Snakefile").read_text())
    lines = [_line(ROOT / "Snakefile", 0), "workflow/"]
    lines += [_line(ROOT / name, 1) for name in order if "/rules/" not in name]
    lines += ["  rules/", *(_line(ROOT / name, 2) for name in order if "/rules/" in name)]
    lines += [_data_line(ROOT / name, 1) for name in DATA if name.startswith("workflow")]
    lines += ["kd/", *(_line(path, 1) for path in _modules(ROOT / "kd"))]
    for room in reversed(rooms):
        lines += _folder(ROOT / "kd" / room, 1)
    return lines


def _folder(folder: Path, depth: int) -> Iterator[str]:
    yield _line(folder / "__init__.py", depth, folder.name + "/")
    for path in _modules(folder):
        yield _line(path, depth + 1)
    for path in (ROOT / name for name in DATA):
        if path.parent == folder:
            yield _data_line(path, depth + 1)
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        yield from _folder(inner, depth + 1)


def _data_line(path: Path, depth: int) -> str:
    name = f"{path.name}/" if path.is_dir() else path.name
    return f"{'  ' * depth + name:<{_COLUMN}}{DATA[str(path.relative_to(ROOT))]}"


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")


def _line(path: Path, depth: int, name: str = "") -> str:
    start = "  " * depth + (name or path.name)
    return f"{start:<{_COLUMN}}{_phrase(path)}".rstrip()


def _phrase(path: Path) -> str:
    """The first sentence of a file's docstring or comment, without what follows a semicolon."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        comment = re.match(r"(?:# ?.*\n)+", text)
        text = re.sub(r"^# ?", "", comment[0] if comment else "", flags=re.MULTILINE)
    return re.split(r"\.(?=\s|$)|;|\n\n", " ".join(text.split()))[0]


GENERATED: dict[str, Callable[[], str]] = {
    "docs/axes.md": lambda: printed("axes", "--markdown"),
    "docs/columns.md": lambda: printed("schema", "columns"),
    "workflow/schemas/study.schema.json": lambda: printed("schema", "study"),
    "workflow/schemas/metrics.schema.json": lambda: printed("schema", "metrics"),
    "workflow/schemas/runs.schema.json": lambda: printed("schema", "runs"),
    "kd/results/power/shipped.csv": shipped_variances,
    "CONTRIBUTING.md": with_tree,
    "README.md": with_first_answer,
}


if __name__ == "__main__":
    for name, made in GENERATED.items():
        (ROOT / name).write_text(made(), encoding="utf-8")
        print(name)
