"""Lets rule `evaluate` use the evaluation that the training's process has already done.

Loading torch and transformers takes longer than many evaluations, and that process has them loaded.
"""

from typing import Any

from kd.jobs.inputs import find_run, student_model
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_dir, atomic_write, read_json, remove_path, write_json
from kd.runtime.hashes import file_digest
from kd.runtime.progress import step_state
from kd.runtime.seals import emptied, empty_sealed, read_record, write_record
from kd.study.grid import Grid
from kd.study.kept import recorded_elsewhere, why_removed
from kd.study.paths import AHEAD, METRICS, MODEL, PREDICTIONS, TRAINING, Layout
from kd.study.run import Run

BASIS = "basis.json"  # in the folder of such an evaluation


def basis(run: Run, layout: Layout, threads: int) -> dict[str, Any]:
    """What an evaluation depends on: threads, and the records from which it takes facts."""
    records = [
        layout.run(run) / TRAINING,
        layout.tokens(run.data_id, run.task, run.tokens_id) / "manifest.json",
    ]
    if run.needs_teacher:
        records.append(layout.teacher(run.teacher) / METRICS)
    if run.stage:
        records.append(layout.stage(run.stage) / TRAINING)
    return {"threads": threads, **{str(path): file_digest(path) for path in records}}


def take_ahead(grid: Grid, layout: Layout, run_id: str, threads: int) -> bool:
    """Write metrics.json and predictions.parquet of a run from what its training has evaluated.

    Returns:
        Whether that was possible. If there is no such evaluation, or a record that it depends on
        has changed since, nothing is written.
    """
    run = find_run(grid, run_id)
    folder = layout.run(run)
    made = folder / AHEAD
    try:
        if read_json(made / BASIS) != basis(run, layout, threads):
            return False
        record = read_record(made / METRICS, "predictions_fingerprint", mark=False)
        if file_digest(made / PREDICTIONS) != record["predictions_fingerprint"]:
            return False
    except (UserError, OSError):  # a file is missing or damaged
        return False
    with step_state(folder, "evaluate"):
        if not emptied(folder / MODEL):
            student_model(run, layout)
        print("the evaluation was done by the process of the training", flush=True)
        atomic_write(folder / PREDICTIONS, (made / PREDICTIONS).read_bytes())
        finish(grid, run, layout, record)
    return True


def finish(grid: Grid, run: Run, layout: Layout, record: dict[str, Any]) -> None:
    """Write metrics.json. Where the study keeps no students, remove the weights after that, unless
    another study has the run in its record.

    The evaluation then stays for `take_ahead`. A Snakemake that is killed before it notes the end
    of this job removes metrics.json at its next start, and without weights nothing else is left.
    """
    folder = layout.run(run)
    if (
        grid.study.keep_students != "none"
        or run.id in grid.assistants
        or run.id in recorded_elsewhere(layout, grid.study.name)
    ):
        write_record(folder / METRICS, record)
        remove_path(folder / AHEAD)
        return
    with atomic_dir(folder / AHEAD) as made:
        write_json(made / BASIS, basis(run, layout, record["evaluated_threads"]))
        atomic_write(made / PREDICTIONS, (folder / PREDICTIONS).read_bytes())
        write_record(made / METRICS, record)
    write_record(folder / METRICS, record)
    empty_sealed(folder / MODEL, why_removed(grid.study, run))
