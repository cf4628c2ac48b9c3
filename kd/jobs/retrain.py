"""`kd retrain`: trains the student of a finished run again, whose weights were removed."""

from shlex import quote
from typing import Any

from kd.jobs.distil import distil
from kd.jobs.inputs import find_run, student_model
from kd.jobs.record import READ
from kd.runtime.errors import UserError
from kd.runtime.files import remove_path
from kd.runtime.progress import Progress, step_state
from kd.runtime.seals import emptied, read_record, refill_sealed
from kd.study.grid import Grid
from kd.study.paths import METRICS, MODEL, TRAINING, Layout
from kd.study.run import Run
from kd.study.teacher_outputs import keys_of, name_of

PLACE = "retrained"  # in the folder of a run, until its weights are seen to be the same
# What the bits of a training depend on, beside its recipe and data, as far as its record says.
_MATTERS = ("device", "threads", "torch_version", "transformers_version", "kd_version")


def run_retrain(grid: Grid, layout: Layout, run_id: str) -> bool:
    """Give a finished run the weights of its student back; False if it has them.

    It is trained as before, on the recorded number of threads. Nothing else of the run changes, and
    Snakemake takes it for finished as before.

    Raises:
        UserError: the run is not trained; something that the training reads is missing; or the new
            weights are not those that the record names. They are left in `retrained/` then.
    """
    run = find_run(grid, run_id)
    folder = layout.run(run)
    with step_state(folder / PLACE, "retrain") as progress:
        known = read_record(folder / TRAINING, "model_fingerprint", "threads")
        removed = bool(emptied(folder / MODEL))
        if removed:
            _train_again(grid, layout, run, known, progress)
        else:
            student_model(run, layout)
    remove_path(folder / PLACE)
    return removed


def _train_again(
    grid: Grid, layout: Layout, run: Run, known: dict[str, Any], progress: Progress
) -> None:
    """Train in the folder PLACE of a run, and put the weights where they were."""
    _check_inputs(grid, layout, run)
    folder, made = layout.run(run), layout.run(run) / PLACE
    again = _read_before(run, known)
    checkpoint, _ = distil(grid, run, layout, made, known["threads"], progress, again)
    checkpoint.remove()
    found = read_record(made / TRAINING, "model_fingerprint")
    if found["model_fingerprint"] != known["model_fingerprint"]:
        raise UserError(f"{made / MODEL}: not the weights of the run: {_why(known, found)}")
    refill_sealed(folder / MODEL, made / MODEL)


def _check_inputs(grid: Grid, layout: Layout, run: Run) -> None:
    """Check what the training reads: Snakemake makes it for unfinished runs alone."""
    places = [layout.tokens(run.data_id, run.task, run.tokens_id)]
    if run.needs_teacher:
        places += [layout.teacher(run.teacher) / name for name in (MODEL, METRICS)]
    if run.stage:
        places.append(layout.stage(run.stage) / MODEL)
    for place in places:
        if not place.exists():
            raise UserError(
                f"{place}: missing; `snakemake --configfile {quote(str(grid.study.path))} -- "
                f"{quote(str(place))}` makes it"
            )


def _read_before(run: Run, known: dict[str, Any]) -> list[str] | None:
    """The names of the stored teacher outputs that the first training read.

    None: its record, of an older version, does not say which of them it read.
    """
    if READ in known:
        return list(known[READ])
    if not known.get("teacher_outputs_stored"):
        return []
    if not known.get("teacher_outputs_computed"):
        return sorted(map(name_of, keys_of(run)))
    return None


def _why(known: dict[str, Any], found: dict[str, Any]) -> str:
    """What may be the reason that two trainings of one run differ."""
    other = [
        f"{key} was {known.get(key)}, and is {found.get(key)} here"
        for key in _MATTERS
        if known.get(key) != found.get(key)
    ]
    return "; ".join(other) or (
        "its teacher outputs were computed again in another order, the code has changed, or the "
        "device does not repeat its numbers"
    )
