"""Replays of records and of simulated studies, and the page, figure and facts that they make."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kd.results.draw_record import records_in, study_of
from kd.results.figures.style import write_figure
from kd.results.record import load_record
from kd.results.replay.figure import replay_figure, telling
from kd.results.replay.page import page_text
from kd.results.replay.replay import replayed, whole_of
from kd.results.replay.simulated import simulated
from kd.runtime.files import atomic_write
from kd.study.check import MARGIN
from kd.study.paths import RECORD

Facts = dict[str, Any]
# Name, and standard deviation of interactions in points.
SIMULATED = {"simulated, without interactions": 0.0, "simulated, with interactions": 0.5}


def replays_of(places: Sequence[Path], simulate: bool, draws: int) -> Facts:
    """The replays of all records at or below some folders, and of simulated studies.

    Returns:
        `replays`, facts of `replay.replayed`, and `left_out`: the records that cannot be replayed,
        with the reason.
    """
    replays = [
        replayed(name, simulated(draws, size), MARGIN)
        for name, size in (SIMULATED.items() if simulate else ())
    ]
    left_out: dict[str, str] = {}
    for folder in [folder for place in places for folder in records_in(place)]:
        record = load_record(folder / RECORD, study_of(folder))
        name = record.study.name if record.study else folder.name
        whole = whole_of(record.runs)
        if isinstance(whole, str):
            left_out[name] = whole
            continue
        margin = record.study.margin if record.study else MARGIN
        replays.append(replayed(f"record of {name}", [(whole, None)] * draws, margin))
    return {"replays": replays, "left_out": left_out}


def facts_text(facts: Facts) -> str:
    """The facts for a person: the page, without its figure."""
    return page_text(facts["replays"], facts["left_out"], "")


def write_replay(facts: Facts, page: Path) -> list[Path]:
    """Write the page, and beside it the figure (PNG) and the facts (JSON)."""
    figure, data = page.with_suffix(".png"), page.with_suffix(".json")
    atomic_write(data, json.dumps(facts, indent=1) + "\n")
    drawn = figure.name if telling(facts["replays"]) else ""
    atomic_write(page, page_text(facts["replays"], facts["left_out"], drawn))
    written = [page, data]
    if drawn:
        write_figure(lambda: replay_figure(facts["replays"]), figure)
        written.append(figure)
    return written
