"""Rule `evaluate`: the scores of one run's student, in its metrics.json."""

from kd.encoders import build
from kd.jobs.inputs import find_run, student_model
from kd.jobs.record import evaluation_record, run_record
from kd.jobs.setup import prepare_device
from kd.runtime.progress import step_state
from kd.runtime.seals import check_seal, read_record, write_record
from kd.study.grid import Grid
from kd.study.paths import METRICS, TRAINING, Layout
from kd.training.evaluation import evaluate


def run_evaluate(grid: Grid, layout: Layout, run_id: str, threads: int) -> None:
    """Evaluate one run's exported student and write its metrics.json."""
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder, "evaluate") as progress:
        device = prepare_device(threads, progress)
        training = read_record(folder / TRAINING, "model_fingerprint", "threads")
        student = student_model(run, layout)
        source = check_seal(layout.tokens(run.data_id, run.task, run.tokens_id))
        model = build.load_finetuned(student)
        metrics = evaluate(model, source, run.task_row, device, progress)
        metrics |= evaluation_record(device, threads)
        write_record(folder / METRICS, run_record(run, layout, training, metrics))
