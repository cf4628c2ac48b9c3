"""The study's report: one HTML file that needs nothing else, from runs.csv and what was drawn."""

import re
from base64 import b64encode
from collections import Counter
from importlib.resources import files
from os.path import normpath
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from kd.axes.figures import axis_words
from kd.results.advice.soundness import above_floor
from kd.results.answers import read_answers
from kd.results.columns import ENVIRONMENT
from kd.results.figures.draw import ABSENT, read_captions
from kd.results.record import Record, load_record, warned
from kd.results.report.cautions import cautions, dev_noise
from kd.results.report.charts import runtime
from kd.results.report.cost_rows import cost
from kd.results.report.explore import explorer, to_script
from kd.results.report.findings import effects, headlines, winners
from kd.results.report.guideline import STRENGTH, answers
from kd.results.report.log_ends import log_ends
from kd.results.statistics.runs import AXES, IDLE, axes, followers, levels
from kd.results.tables.write import make_tables
from kd.runtime.files import atomic_write
from kd.runtime.words import count
from kd.study.check import Study

_RUNS = "../../runs"  # from the folder of the study, where the report lies


def write_report(
    runs_csv: Path,
    tables_dir: Path,
    figures_dir: Path,
    out_html: Path,
    study_yaml: Path | None = None,
) -> None:
    """Write the report; figures are those in `figures_dir`, tables name their files."""
    record = warned(load_record(runs_csv, study_yaml))
    frame, study, every = record.runs, record.study, record.every
    sound = above_floor(frame)
    by_task = headlines(frame)  # the last is the average over tasks, or the only task
    captions = read_captions(figures_dir)
    absent = captions.pop(ABSENT, "")
    tables = [
        {
            "name": name,
            "title": table_title(name),
            "table": table,
            "files": sorted(p.name for p in tables_dir.glob(f"{name}.*")),
        }
        for name, table in make_tables(frame, read_answers(runs_csv), record.selection).items()
    ]
    logged = [has_log(*row) for row in zip(every["status"], every["error"], strict=True)]
    ends = log_ends(
        Path(normpath(out_html.parent / _RUNS)), list(every["run"]), list(every["status"])
    )
    tuned = record.selection.axes if record.selection else []
    data = explorer(every, frame, logged, named_study(study), _RUNS, ends, tuned)
    room = files("kd.results.report")
    template = room.joinpath("report.html.jinja").read_text(encoding="utf-8")
    style, *scripts = (
        room.joinpath("browser", name).read_text(encoding="utf-8")
        for name in ("report.css", "base.js", "charts.js", "runs.js")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = with_code
    html = environment.from_string(template).render(
        name=study.name if study else out_html.resolve().parent.name,
        question=study.question if study else "",
        cautions=cautions(record),
        answers=answers(record),
        strengths=STRENGTH,
        design=design(every),
        follows=followers(every),
        tuned=tuned,
        pruned=pruned_text(record),
        counts=every["status"].value_counts().to_dict(),
        lost=missing(every),
        facts=[*effects(sound), *headlines(sound)[-1:], *winners(sound)],
        by_task=by_task[:-1],
        noise=dev_noise(frame),
        figures=[_figure(figures_dir / f"{name}.png", text) for name, text in captions.items()],
        drawn=figures_dir.is_dir(),
        absent=absent,
        tables=tables,
        style=style,
        runtime=runtime(),
        script="\n".join(scripts),
        data=to_script(data),
        places={run: i for i, run in enumerate(every["run"])},
        several_tasks=len(data["tasks"]) > 1,
        chart_axes=[axis for axis in data["axes"] if axis["name"] != "seed"],
        effect_axes=data["effects"],
        maps=data["maps"],
        costs=data["costs"],
        importance=data["importance"],
        histories=bool((every["history"] != "").any()),
        folder=_RUNS,
        cost=cost(every),
        environment=environment_of(every),
        total=len(every),
    )
    atomic_write(out_html, html)


def named_study(study: Study | None) -> str:
    """The study's file, as a command names it."""
    return str(study.path) if study else "STUDY"


def with_code(text: str) -> Markup:
    """Text for HTML: `values` as code, all else escaped."""
    text = str(escape(text)).replace(" %", "\u00a0%")
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", text))


_TITLES = {
    "scores": "Scores of all cells",
    "selected": "What was selected on the held-out slice",
    "selected-teachers": "Teachers selected on the held-out slice",
    "effects": "Where the variance comes from",
    "contrasts": "Every two values of an axis",
    "ranks": "Ranks over tasks",
    "iso-cost": "Students of equal cost",
    "cost": "Size and cost",
    "likeness": "Likeness to the teacher",
    "examples": "Differences over seeds and dev examples",
}


def table_title(name: str) -> str:
    """A table's heading: that of `axis-init` is 'Scores by initialisation'."""
    if name.startswith("axis-"):
        return f"Scores by {axis_words(name.removeprefix('axis-'))}"
    return _TITLES.get(name, name)


def pruned_text(record: Record) -> str:
    """How many cells were pruned, and the most frequent reason; '' where none was."""
    if record.grid is None or not record.grid.pruned:
        return ""
    reasons = Counter(reason for _, reason in record.grid.pruned)
    (most, n), more = reasons.most_common(1)[0], len(reasons) - 1
    return (
        f"{count(len(record.grid.pruned), 'cell')} of {record.grid.cells:,} cannot run or were "
        f"excluded. For {n} the reason is: {most}"
        + f"; {count(more, 'other reason')}, see `kd plan`" * bool(more)
        + "."
    )


def _figure(path: Path, text: str) -> dict[str, Any]:
    png = path.read_bytes()
    width = int.from_bytes(png[16:20])  # of the image, as PNG's header says
    coded = b64encode(png).decode()
    title = re.split(r"[:.] ", text)[0].rstrip(".")
    return {
        "name": path.stem,
        "title": title,
        "caption": text,
        "png": coded,
        "wide": width > 800,
        "files": [f"{path.stem}.{kind}" for kind in ("png", "pdf")],
    }


def design(frame: pd.DataFrame) -> list[tuple[str, str, bool]]:
    """(axis, its values, whether it varies) for every axis that affects some run."""
    varying = axes(frame)
    rows = [
        (axis, ", ".join(v for v in levels(frame[axis]) if v != IDLE), axis in varying)
        for axis in AXES
    ]
    return sorted((row for row in rows if row[1]), key=lambda row: not row[2])


def missing(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Why runs are not done: status, last error line, how many, and the first ones' ids."""
    lost = frame[frame["status"] != "done"]
    return [
        {
            "status": status,
            "error": error,
            "count": len(group),
            "runs": list(group["run"][:5]),
            "logged": has_log(str(status), str(error)),
        }
        for (status, error), group in lost.groupby(["status", "error"], sort=False)
    ]


# How the error of a step before a run begins.
_BEFORE = r"(data|teacher|outputs of|(tokens|extra)-\w+ of|corpus|stage|run) \S+: "


def has_log(status: str, error: str) -> bool:
    """Whether a run has a log of its own: it was started, and no step before it failed."""
    return status in ("done", "running", "stopped") or (
        status == "failed" and not re.match(_BEFORE, error)
    )


def environment_of(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(what, its values and in how many runs) for versions, device and data."""
    shown = ["plugins", *ENVIRONMENT]
    done = frame[frame["status"] == "done"].reindex(columns=shown)
    rows = []
    for name in shown:
        values = done[name].map(lambda v: f"{v:g}" if isinstance(v, float) else v)
        counts = values[~values.isin(["", "nan"])].value_counts()
        if len(counts):
            text = ", ".join(f"{value} ({count(n, 'run')})" for value, n in counts.items())
            rows.append((name.replace("_", " "), text))
    return rows
