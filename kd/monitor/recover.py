"""Finds what workflows that died left behind, and says what to do about it: `kd recover`."""

from pathlib import Path

from kd.monitor.slurm_queue import waiting, waiting_text
from kd.runtime.files import leftovers
from kd.runtime.seals import marked
from kd.runtime.snakemake_processes import workflows
from kd.runtime.state import read_state
from kd.study.grid import Grid
from kd.study.paths import CHECKPOINT, Layout


def recover(grid: Grid, layout: Layout) -> list[str]:
    """One sentence for each thing found."""
    texts, places = list[str](), layout.started_in
    heads = sorted(head for here in places for head in workflows(here))
    if heads:
        running = ", ".join(map(str, heads))
        texts.append(f"snakemake runs here (process {running}): wait for it, or end it with ctrl-C")
    elif any(lock for here in places for lock in (here / ".snakemake/locks").glob("*")):
        texts.append(
            "there is a lock, but no snakemake runs here on this machine: if none runs on another "
            "machine, remove the lock with `snakemake --unlock` and the --configfile of the study, "
            "and start again"
        )
    texts += [waiting_text(row) for here in places for row in waiting(here)]
    for folder, name in _folders(grid, layout).items():
        state = read_state(folder) or {}
        where = f"process {state.get('pid')} on {state.get('host')}"
        if state.get("state") == "running" and not heads:
            texts.append(
                f"{name}: {where} still works on it: leave it, the next start waits for it and "
                f"takes what it has made; or end it (`kill`, on a cluster `scancel`), which saves "
                f"its state"
            )
        elif state.get("state") in ("failed", "stopped"):
            texts.append(f"{name}: {state.get('error')}")
        if (folder / CHECKPOINT).is_file() and state.get("state") != "running":
            texts.append(f"{name}: its state is saved: the next start goes on from there")
    if not heads:
        texts += [f"{p}: half written by a job that died: delete it" for p in _half(layout)]
    for mark in layout.marks():
        texts.append(
            f"{marked(mark)}: damaged ({mark.read_text(encoding='utf-8').strip()}): "
            "the next start sets it aside and makes it again, and what is made of it"
        )
    for path in sorted(layout.results.glob("**/*.damaged")):
        texts.append(f"{path}: was damaged and has been set aside: delete it")
    return texts


def _folders(grid: Grid, layout: Layout) -> dict[Path, str]:
    """Where each run, and each step that runs wait for, keeps its state."""
    runs = grid.trained.values()
    steps = {place: step for run in runs for step, place in layout.before(run).items()}
    return {**steps, **{layout.run(run): run.id for run in runs}}


def _half(layout: Layout) -> list[Path]:
    """What no later step cleans up: folders of data, and results of studies as a whole."""
    places = ("data/*/*", "corpora/*/*", "studies/*", "studies/*/export")
    found = [folder for place in places for folder in layout.results.glob(place)]
    folders = [layout.results, *found]
    return [path for folder in folders for path in leftovers(folder)]
