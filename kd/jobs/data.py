"""Rule `data`: the text of one task, for all studies that read it."""

from kd.data.text import prepare
from kd.runtime.errors import unknown
from kd.runtime.progress import step_state
from kd.study.grid import Grid
from kd.study.paths import Layout


def prepare_task(grid: Grid, layout: Layout, task: str) -> None:
    """`prepare` for a task of a study."""
    runs = {run.task: run for run in grid.runs.values()}
    if task not in runs:
        raise unknown(f"{grid.study.path}: task", task, runs)
    run = runs[task]
    out = layout.text(run.data_id, task)
    with step_state(layout.preparing(run.data_id, task), "data") as progress:
        if not (progress.waited and out.is_dir()):
            prepare(grid.study.data, run.task_row, out)
