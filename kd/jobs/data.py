"""Rule `data`: the text of one task, for all studies that read it."""

from kd.data.text import prepare
from kd.jobs.inputs import run_on
from kd.runtime.progress import step_state
from kd.study.grid import Grid
from kd.study.paths import Layout


def prepare_task(grid: Grid, layout: Layout, task: str) -> None:
    """Load the text of one task of a study."""
    run = run_on(grid, task)
    out = layout.text(run.data_id, run.task)
    with step_state(layout.preparing(run.data_id, run.task), "data") as progress:
        if not (progress.waited and out.is_dir()):
            prepare(grid.study.data, run.task_row, out, progress)
