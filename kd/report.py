"""The study's report: one HTML file that needs nothing else, from runs.csv and what was drawn."""

from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, StrictUndefined

from kd import statistics as st
from kd.figures import caption
from kd.files import atomic_write
from kd.tables import NOTHING, make_tables, points

ENVIRONMENT = [
    *("kd_version", "torch_version", "transformers_version", "python_version", "device", "threads"),
    *("data_source", "data_fingerprint", "split"),
]


def write_report(
    runs_csv: Path,
    tables_dir: Path,
    figures_dir: Path,
    out_html: Path,
    study_yaml: Path | None = None,
) -> None:
    """Write the report; figures are those in `figures_dir`, tables name their files."""
    frame = st.read_runs(runs_csv)
    study = yaml.safe_load(study_yaml.read_text(encoding="utf-8")) if study_yaml else {}
    figures = [_figure(path) for path in sorted(figures_dir.glob("*.png"), key=_order)]
    tables = [
        {
            "name": name,
            "table": table,
            "files": sorted(p.name for p in tables_dir.glob(f"{name}.*")),
        }
        for name, table in make_tables(frame).items()
    ]
    template = files("kd").joinpath("report.html.jinja").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.from_string(template).render(
        name=study.get("study") or out_html.resolve().parent.name,
        question=study.get("question", ""),
        design=design(frame),
        counts=frame["status"].value_counts().to_dict(),
        lost=frame.loc[frame["status"] != "done", ["run", "status", "error"]].to_dict("records"),
        facts=headlines(frame),
        figures=figures,
        tables=tables,
        runs=run_table(frame),
        environment=environment_of(frame),
        total=len(frame),
    )
    atomic_write(out_html, html)


def _order(path: Path) -> tuple[int, str]:
    """The comparison first, then the axes, then the rest."""
    kinds = ["difference", "axis", "score", "heatmap"]
    kind = path.stem.split("-")[0]
    return kinds.index(kind) if kind in kinds else len(kinds), path.stem


def _figure(path: Path) -> dict[str, Any]:
    png = path.read_bytes()
    width = int.from_bytes(png[16:20])  # of the image, as PNG's header says
    text = b64encode(png).decode()
    return {"name": path.stem, "caption": caption(path.stem), "png": text, "wide": width > 800}


def design(frame: pd.DataFrame) -> list[tuple[str, str, bool]]:
    """(axis, its values, whether it varies) for every axis that affects some run."""
    varying = st.axes(frame)
    rows = [
        (axis, ", ".join(v for v in st.levels(frame[axis]) if v != st.IDLE), axis in varying)
        for axis in st.AXES
    ]
    return sorted((row for row in rows if row[1]), key=lambda row: not row[2])


def headlines(frame: pd.DataFrame) -> list[str]:
    """A sentence or two per task: the best cell, its control, teacher and majority class."""
    runs = st.prepare(frame)
    names = st.studied(runs) or ["knowledge"]
    table = st.describe(runs, [*names, "role", "task"])
    control = st.control_of(runs)
    groups = table.groupby("task", sort=False)
    return [_headline(str(task), rows, names, control) for task, rows in groups]


def _headline(task: str, rows: pd.DataFrame, names: list[str], control: str) -> str:
    if not rows["n"].any():
        return f"{task}: none of {rows['n_expected'].sum()} runs has finished."
    # A mean over fewer runs than planned wins only where no cell is complete.
    whole = rows[rows["missing"] == ""]
    pool = whole if len(whole) else rows
    best = pool.dropna(subset="mean").sort_values("mean", kind="stable").iloc[-1]
    cell = ", ".join(f"{name} {best[name]}" for name in names if best[name] != st.IDLE)
    score = points(best["mean"], best["sd"], best["n"], best["n_expected"])
    teacher, majority = (
        NOTHING if pd.isna(best[f"{name}_score"]) else f"{100 * best[f'{name}_score']:.1f}"
        for name in ("teacher", "majority")
    )
    return (
        f"{task} ({st.metric(task)}): the best of {len(rows)} cells is {cell}, with {score}; "
        f"{_against(best, control)}. Teacher {teacher}, majority class {majority}."
    )


def _against(best: Any, control: str) -> str:
    if best["role"] == "control":
        return f"it is a control ({control}) itself"
    if best["pairs"] == 0:
        return "it has no control to be compared with"
    sizes = (best["difference"], best["difference_sd"], best["pairs"], best["pairs"])
    gap, _, pairs = points(*sizes, signed=True).rpartition(" (")
    text = f"paired difference to its control ({control}) {gap} ({pairs.rstrip(')')} pairs"
    if best["pairs"] > 1:
        low, high = best["difference_low"], best["difference_high"]
        text += f", 95 % interval {100 * low:+.1f} to {100 * high:+.1f}".replace("-", "−")
        text += ", which includes 0" * bool(low <= 0 <= high)
    return text + ")"


def run_table(frame: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of runs: where it stands in the grid, what came of it."""
    names = st.axes(frame)
    rows = [
        [
            *(row["run"], row["status"], *(row[name] for name in names)),
            "" if pd.isna(row["score"]) else f"{100 * row['score']:.2f}",
            "" if pd.isna(row["train_seconds"]) else f"{row['train_seconds']:.0f}",
            row["objective"],
        ]
        for row in frame.to_dict("records")
    ]
    return ["run", "status", *names, "score", "seconds", "objective"], rows


def environment_of(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(what, its values and in how many runs) for versions, device and data."""
    counts = {name: frame.loc[frame[name] != "", name].value_counts() for name in ENVIRONMENT}
    return [
        (name.replace("_", " "), ", ".join(f"{value} ({n} runs)" for value, n in found.items()))
        for name, found in counts.items()
        if len(found)
    ]
