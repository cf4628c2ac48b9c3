"""Warnings of a plan: what a study will not be able to show."""

from kd.axes.fields import RUN_DEFAULTS
from kd.axes.labels import parts
from kd.monitor.tuning import tuning
from kd.results.advice import FEW_SEEDS
from kd.runtime.errors import listing
from kd.study.grid import Grid
from kd.study.pruned import pruned_values
from kd.study.tasks import data_warnings


def warnings_of(grid: Grid) -> list[str]:
    """Warnings, before anything runs, about what the study will not be able to show."""
    warnings = []
    seeds = len({run.values["seed"] for run in grid.runs.values()})
    if seeds < FEW_SEEDS:
        effect = "nothing can be tested" if seeds == 1 else "no value will be recommended"
        warnings.append(f"{seeds} seed{'s' * (seeds > 1)}: below three {effect}")
    warnings += data_warnings(grid.runs.values())
    warnings += _tuning_warnings(grid)
    for axis, value, reason in pruned_values(grid):
        warnings.append(f"no cell with {axis} {value} can run: {reason}")
    for axis, value in grid.chosen.missing if grid.chosen else ():
        warnings.append(f"design: no cell with {axis} {value} was drawn; take more cells")
    warnings += [f"{name}: no run uses it" for name in _unused(grid)]
    return warnings + _assistant_warnings(grid) + _dtype_warnings(grid) + _recipe_warnings(grid)


def _unused(grid: Grid) -> list[str]:
    """The names that the study defines and no run uses."""
    study, runs = grid.study, grid.trained.values()
    used = {
        "stages": {run.stage.name for run in runs if run.stage},
        "transfer": {extra.name for run in runs for extra in run.extras if extra.transfer},
        "tasks": {name for run in runs for name in parts(run.labels["task"])},
        "teachers": {
            *(name for run in runs for name in parts(run.labels["teacher"])),
            *(teacher.name for teacher in grid.teachers.values()),
            *(stage.values["teacher"] for stage in study.stages.values()),
        },
    }
    own = {
        "stages": list(study.stages),
        "transfer": list(study.transfer),
        "tasks": [name for name, task in study.tasks.items() if task.source],
        "teachers": list(study.teachers),
    }
    return [
        f"{key}.{name}" for key, names in own.items() for name in names if name not in used[key]
    ]


def _tuning_warnings(grid: Grid) -> list[str]:
    """Warnings about cells with fewer values than others, and teachers that may know the slice."""
    warnings = []
    if (tuned := tuning(grid)) and not tuned["equal"]:
        warnings.append(
            f"select: some cells have fewer than {tuned['values']} values of "
            f"{listing(tuned['axes'])}, so the budgets of the methods differ"
        )
    held = grid.study.select or any(run.values["held_out"] for run in grid.runs.values())
    for name, teacher in grid.study.teachers.items():
        if held and teacher.get("finetuned"):
            warnings.append(
                f"teacher {name} is fine-tuned already, and may have seen the held-out slice: "
                f"slice scores of its students may be optimistic, though no dev score is"
            )
    return warnings


def _assistant_warnings(grid: Grid) -> list[str]:
    """Teacher assistants that are no smaller than the teacher that they learn from."""
    warnings = {}
    for teacher in grid.teachers.values():
        if (run := teacher.student_of) and run.needs_teacher:
            own, above = teacher.encoder.shape, run.teacher.encoder.shape
            if own.nonembedding_parameters >= above.nonembedding_parameters:
                warnings[teacher.name] = (
                    f"teacher assistant {teacher.name} ({own}) is not smaller than its teacher "
                    f"{run.labels['teacher']} ({above})"
                )
    return list(warnings.values())


def _dtype_warnings(grid: Grid) -> list[str]:
    """Teachers that are trained in the dtype of their weights, if this has few digits."""
    coarse = {
        teacher.name: teacher.dtype
        for teacher in grid.teachers.values()
        if teacher.dtype != "float32" and not (teacher.finetuned or teacher.student_of)
    }
    return [
        f"teacher {name} is fine-tuned with {dtype} weights: steps that are small beside a weight "
        f"are rounded away; leave dtype out, or give a fine-tuned model (finetuned: true)"
        for name, dtype in coarse.items()
    ]


def _recipe_warnings(grid: Grid) -> list[str]:
    """Students with random weights and the default recipe, which suits pretrained encoders.

    The recipe does not follow `init`: cells along that axis would then differ in two things.
    """
    rate = RUN_DEFAULTS["learning_rate"]
    slow = [
        run
        for run in grid.trained.values()  # teacher assistants too: nothing tunes them
        if "init" not in run.spec and run.values["learning_rate"] == rate
    ]
    if not slow:
        return []
    start = "run starts" if len(slow) == 1 else "runs start"
    return [
        f"{len(slow)} {start} from random weights with the learning rate of pretrained encoders "
        f"({rate:g}): set learning_rate (1e-4 in Turc et al. 2019, 1e-3 in the demo)"
    ]
