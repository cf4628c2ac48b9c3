"""Training histories as TensorBoard event files, made from history.csv after the fact.

The training loop does not use TensorBoard, so a run costs nothing more. A run has its history.csv
when its training has ended.
"""

from pathlib import Path

from kd.monitor.history import history_rows
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_dir
from kd.study.grid import Grid
from kd.study.paths import HISTORY, Layout

_NEEDED = "needs the package tensorboard: pip install tensorboard"


def write_events(grid: Grid, layout: Layout, out: Path) -> int:
    """Write one folder of events per run and teacher below `out`; returns how many have a history.

    Every column of history.csv is a scalar over the step. Earlier events there are replaced, so
    that the command can be repeated while a study is running.

    Raises:
        UserError: the package tensorboard is not installed, or there is no history yet.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(f"kd tensorboard {_NEEDED}") from None
    histories = {run.id: layout.run(run) / HISTORY for run in grid.trained.values()}
    histories |= {
        f"{run.teacher.id}-{run.task}": layout.teacher(run.teacher) / HISTORY
        for run in grid.trained.values()
    }
    there = {name: path for name, path in histories.items() if path.is_file()}
    if not there:
        raise UserError(f"{grid.study.path}: no run has a history.csv yet")
    for name, path in there.items():
        with atomic_dir(out / name) as folder:
            writer = SummaryWriter(str(folder))
            for values in history_rows(path):
                step = int(values.pop("step"))
                for key, value in values.items():
                    # TensorBoard groups by what is before the first slash.
                    writer.add_scalar(f"training/{key}", value, step)
            writer.close()
    return len(there)
