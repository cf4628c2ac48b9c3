"""Chooses the figures of a study and writes them as PNG and PDF, for a two-column paper."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kd.axes.figures import FIGURES, MORE, PLAIN, caption
from kd.axes.shapes import parse_shape
from kd.results.figures.agreement import agreement_figure
from kd.results.figures.curves import DEV_SCORE, can_be_drawn, curves_figure, dev_curves_figure
from kd.results.figures.maps import heatmap, width_depth_figure
from kd.results.figures.spread import seeds_figure, teacher_gap_figure, variance_figure
from kd.results.figures.strips import difference_figure, effect_figure
from kd.results.figures.style import COLUMN, HEIGHT, STYLE, Look, above_foot, short_names
from kd.results.figures.tradeoff import tradeoff_figure
from kd.results.record import load_record, warned
from kd.results.statistics.cost import with_costs
from kd.results.statistics.effects import variance
from kd.results.statistics.pairing import prepare
from kd.results.statistics.runs import AVERAGE, axes, studied
from kd.results.statistics.selection import chosen_note
from kd.results.statistics.views import base_of
from kd.results.tables.table import tex
from kd.runtime.errors import UserError, shown
from kd.runtime.files import atomic_dir

ABSENT = "not drawn"  # the part of captions.md on figures that the runs do not allow
Drawing = Callable[..., Figure]
# Figures with a panel per task that grow with the values of an axis: they take `panels_for`.
_GROW = ("difference", "effect-", "heatmap-")
# Pairs of axes whose heat map is drawn by default if both vary; rows first.
_MAPS = [("knowledge", "mapping"), ("knowledge", "student"), ("knowledge", "matching"),
         ("knowledge", "init"), ("mapping", "init"), ("student", "teacher")]  # fmt: skip


def write_figures(
    runs_csv: Path,
    out_dir: Path,
    asked: Sequence[str] | None = None,
    study: Path | None = None,
) -> dict[str, str]:
    """Write the figures as .png and .pdf into `out_dir`.

    The same runs give the same bytes, because neither file has a date or a version. The captions
    are in captions.md, and in figures.tex, which puts the figures into a paper of two columns.

    Returns:
        Why a figure that was asked for is not drawn, by name.
    """
    record = warned(load_record(runs_csv, study))
    drawings, why = possible(frame := record.runs)
    note = chosen_note(record.selection)
    undated: Look = dict.fromkeys(["Creator", "Producer", "CreationDate"])
    texts, floats = [], []
    with matplotlib.rc_context(), atomic_dir(out_dir) as folder:
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        for name, of_figure, figure, part in in_parts(frame, drawings, asked):
            text = f"{caption(of_figure)} {text_of(figure)}{note}{part}"
            texts.append(f"## {name}\n\n{text}\n")
            floats.append(_float(name, text, figure.get_figwidth() > COLUMN))
            FigureCanvasAgg(figure)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # laid out once, not again for each draw
            drawn: Look = {"bbox_inches": above_foot(figure)}
            figure.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None}, **drawn)
            figure.savefig(folder / f"{name}.pdf", metadata=undated, **drawn)
        never = "its axes do not vary among the runs"
        absent = {name: why.get(name, never) for name in asked_for(asked) if name not in drawings}
        if absent:
            told = "\n".join(f"- {name}: {reason}" for name, reason in absent.items())
            texts.append(f"## {ABSENT}\n\n{told}\n")
        (folder / "captions.md").write_text("\n".join(texts), encoding="utf-8")
        (folder / "figures.tex").write_text("\n".join(floats), encoding="utf-8")
    return absent


def in_parts(
    frame: pd.DataFrame, drawings: dict[str, Drawing], asked: Sequence[str] | None
) -> Iterator[tuple[str, str, Figure, str]]:
    """(name of the file, name of the figure, figure, end of its caption). A figure that is taller
    than a page of a paper is drawn again in parts, of some tasks each."""
    tasks = list(dict.fromkeys(frame["task"]))
    tasks += [AVERAGE] * (len(tasks) > 1)
    for name, figure in chosen(frame, drawings, asked):
        count = min(len(tasks), math.ceil(figure.get_figheight() / HEIGHT))
        if count == 1 or not name.startswith(_GROW):
            yield name, name, figure, ""
            continue
        size = math.ceil(len(tasks) / count)
        parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
        for number, part in enumerate(parts, 1):
            file = name if number == 1 else f"{name}-{number}"
            yield file, name, drawings[name](panels_for=part), f" Part {number} of {len(parts)}."


def _float(name: str, text: str, wide: bool) -> str:
    """A figure of LaTeX: over both columns where it is `wide`. Its preamble needs graphicx."""
    kind, width = ("figure*", r"\textwidth") if wide else ("figure", r"\columnwidth")
    return (
        f"\\begin{{{kind}}}\n\\centering\n\\includegraphics[width={width}]{{{name}.pdf}}\n"
        f"\\caption{{{tex(text)}}}\n\\label{{fig:{name}}}\n\\end{{{kind}}}\n"
    )


def text_of(figure: Figure) -> str:
    """The line that its caption ends with: what is compared, and n."""
    return " ".join(figure.get_supxlabel().replace("\u00a0", " ").split())


def read_captions(folder: Path) -> dict[str, str]:
    """The captions that `write_figures` wrote, in their order, by figure; also ABSENT."""
    path = folder / "captions.md"
    parts = path.read_text(encoding="utf-8").split("## ")[1:] if path.is_file() else []
    return {name: " ".join(text.split()) for name, _, text in (p.partition("\n") for p in parts)}


def chosen(
    frame: pd.DataFrame, drawings: dict[str, Drawing], asked: Sequence[str] | None = None
) -> Iterator[tuple[str, Figure]]:
    """The figures that were asked for, or else the default figures, by name.

    `drawings` are those of `possible`. Each figure is drawn when it is reached.
    """
    wanted = asked_for(asked)
    names = [*wanted]
    if asked is None or any(name.startswith(MORE) for name in asked):
        names = [*dict.fromkeys([*default_figures(frame, drawings), *wanted])]
    # In the order of `drawings`, unless the study gives its own.
    if names != wanted:
        names = [name for name in drawings if name in names]
    for name in names:
        if name in drawings:
            yield name, drawings[name]()


def asked_for(asked: Sequence[str] | None) -> list[str]:
    """The names of the figures that a study asks for."""
    return [name.removeprefix(MORE) for name in asked or ()]


def default_figures(frame: pd.DataFrame, drawings: dict[str, Drawing]) -> list[str]:
    """The figures that are drawn if the study names none.

    The heat maps are those of usual pairs of axes, of all pairs if the study varies at most three
    axes, and of pairs with a significant interaction. One-at-a-time designs have none.
    """
    varying, cells = axes(frame), studied(frame)
    pairs = [(a, b) for a, b in _MAPS if a in cells and b in cells]
    others = [pair for pair in combinations(cells, 2) if not {pair, pair[::-1]} & {*pairs}]
    if len(cells) <= 3:
        pairs += others
    elif others:
        table = variance(frame)
        sure = set(table.loc[(table["kind"] == "pair") & (table["p_holm"] < 0.05), "term"])
        pairs += [(a, b) for a, b in others if f"{a} × {b}" in sure]
    if base_of(frame) is not None:
        pairs = []
    if "task" in varying and "knowledge" in varying:
        pairs.append(("knowledge", "task"))
    maps = [f"heatmap-{a}-{b}" for a, b in pairs]
    return [name for name in drawings if not name.startswith("heatmap") or name in maps]


def possible(frame: pd.DataFrame) -> tuple[dict[str, Drawing], dict[str, str]]:
    """Every figure that these runs allow, and why the others are not there."""
    runs = prepare(frame)
    short = runs.assign(student=short_names(runs["student"]))
    varying = axes(frame)
    cells = studied(frame)
    why = _obstacles(runs, frame)
    plain: dict[str, Drawing] = {
        "difference": partial(difference_figure, short),
        "variance": lambda: variance_figure(frame),
        "width-depth": lambda: width_depth_figure(runs),
        "score-parameters": lambda: tradeoff_figure(runs, "parameters"),
        "score-flops": lambda: tradeoff_figure(runs, "flops"),
        "score-latency": lambda: tradeoff_figure(runs, "latency"),
        "teacher-gap": lambda: teacher_gap_figure(runs),
        "seeds": lambda: seeds_figure(runs),
        "curves": lambda: curves_figure(short),
        "dev-curves": lambda: dev_curves_figure(short),
        "agreement": lambda: agreement_figure(runs),
    }
    assert set(plain) == set(PLAIN)
    plain |= {name: partial(_plugins, name, frame) for name in FIGURES}
    drawings: dict[str, Drawing] = {}
    for name in ("difference", "variance"):
        drawings[name] = plain[name]
    for axis in cells:
        drawings[f"effect-{axis}"] = partial(effect_figure, short, axis)
    for a in cells:
        for b in [*(other for other in cells if other != a), *["task"] * ("task" in varying)]:
            drawings[f"heatmap-{a}-{b}"] = partial(heatmap, short, a, b)
    drawings |= {name: drawing for name, drawing in plain.items() if name not in drawings}
    return {name: drawing for name, drawing in drawings.items() if name not in why}, why


def _plugins(name: str, frame: pd.DataFrame) -> Figure:
    """The figure of a plugin."""
    figure = FIGURES[name].draw(frame.copy())
    if not isinstance(figure, Figure):
        raise UserError(
            f"figure {name}: its function gave {shown(figure)}, allowed: a matplotlib Figure"
        )
    return figure


def _obstacles(runs: pd.DataFrame, frame: pd.DataFrame) -> dict[str, str]:
    """Why figures of the whole study cannot be drawn from these runs, by name."""
    reasons = {}
    cells, costs = studied(frame), with_costs(runs)
    if not ((runs["role"] == "control").any() and (runs["role"] != "control").any()):
        reasons["difference"] = "there is no control, or nothing else"
    if variance(frame).empty:
        reasons["variance"] = "too few runs are done, or no axis varies"
    students = "student" in cells
    if not students or costs["flops"].isna().any():
        reasons["width-depth"] = "one student, or a shape that is not of layers and width"
    elif len({(s.layers, s.hidden) for s in map(parse_shape, frame["student"].unique())}) < 2:
        reasons["width-depth"] = "all students are as wide and as deep"
    for measure in ("parameters", "flops", "latency"):
        if not students:
            reasons[f"score-{measure}"] = "one student"
        elif costs[measure].notna().sum() == 0:
            reasons[f"score-{measure}"] = f"runs.csv has no {measure}"
        elif costs[measure].max() < 1.15 * costs[measure].min() and measure != "latency":
            reasons[f"score-{measure}"] = "all students cost the same"
    if runs["teacher_score"].isna().all():
        reasons["teacher-gap"] = "no run has a teacher's score"
    if frame["seed"].nunique() < 2:
        reasons["seeds"] = "one seed"
    elif not frame[frame["score"].notna()].groupby([*cells, "task"]).size().max() >= 2:
        reasons["seeds"] = "no cell has two seeds that are done"
    if (frame["history"] == "").all():
        reasons["curves"] = "runs.csv has no history"
    elif not frame["history"].map(can_be_drawn).any():
        reasons["curves"] = "every history in runs.csv is shorter than two points"
    if not frame["history"].map(lambda text: can_be_drawn(text, DEV_SCORE)).any():
        reasons["dev-curves"] = "no run has dev scores in its history (evaluate_every)"
    if "agreement" not in runs or runs["agreement"].notna().sum() < 2:
        reasons["agreement"] = "runs.csv has no agreement with the teacher"
    return reasons
