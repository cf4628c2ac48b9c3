"""Rules of a study file that involve several keys.

They also see studies of which other checks have refused a part, and then tell only what that part
cannot change: a name is not unknown because its own definition has a mistake.
"""

from typing import TYPE_CHECKING, Any

from kd.axes.extra import ALONE
from kd.axes.fields import RUN_FIELDS
from kd.axes.figures import axes_of
from kd.axes.initialisations import STAGE
from kd.axes.labels import NONE
from kd.data.generated import check_size
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.assistant_keys import assistants, check_assistants
from kd.study.design_keys import ALONE as ONE_BY_ONE
from kd.study.design_keys import check_design
from kd.study.mistakes import keep, kept, number_kept
from kd.study.select_keys import check_select

if TYPE_CHECKING:
    from kd.study.check import Study


def check_together(study: "Study", raw: dict[Any, Any], broken: set[str]) -> None:
    """Keep the mistakes that show where keys are seen together.

    Args:
        study: the study, without the values that have mistakes.
        raw: the content of the file.
        broken: keys of the file whose value, or a part of it, has a mistake.
    """
    _check_presets(study)
    _check_names(study, raw, broken)
    if not broken & {"base", "teachers"}:
        check_assistants(study)
    if not broken & {"axes", "include", "figures", "select"}:
        _check_figures(study)
    if raw.keys() >= {"axes"} and all(_is_mapping(raw.get(key)) for key in ("base", "axes")):
        _check_missing(study, raw)
    if number_kept() == 0:
        _check_selected(study)
        _check_looks(study)


def _is_mapping(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _check_presets(study: "Study") -> None:
    """Check that nothing changes the knowledge of a preset."""
    included = [(f"include[{i}]", entry) for i, entry in enumerate(study.include)]
    for where, keys in [("axes", study.axes), *included, *_assistant_points(study)]:
        if "preset" in keys and "knowledge" in keys:
            keep(
                UserError(
                    f"{where}: preset and knowledge exclude each other, because a preset sets its "
                    f"own knowledge"
                )
            )


def _check_names(study: "Study", raw: dict[Any, Any], broken: set[str]) -> None:
    """Check that every task, teacher, stage and transfer set that a cell can name exists."""

    def check(where: str, name: str, key: str, known: Any) -> None:
        given = raw.get(key)
        if known and _is_mapping(given) and name not in known and name not in (given or ()):
            keep(unknown(where, name, known))

    for where, key, value in _used(study):
        if key == "teacher":
            check(where, value, "teachers", study.teachers)
        if key == "task":
            check(where, value, "tasks", study.tasks)
            if value in study.tasks and "data" not in broken:
                with kept():
                    _check_source(study, where, value)
        if key == "transfer" and value != NONE:
            name = value.removeprefix(ALONE)
            if study.transfer or "transfer" in broken:
                check(where, name, "transfer", study.transfer)
            else:
                keep(UserError(f"{where}: found {value}, but the study has no key transfer"))
        if key == "init" and value.startswith(STAGE):
            if study.stages or "stages" in broken:
                check(f"{where}: stage", value.removeprefix(STAGE), "stages", study.stages)
            else:
                keep(UserError(f"{where}: found {value}, but the study has no key stages"))
    for stage in study.stages.values():
        where = f"stages.{stage.name}.teacher"
        check(where, stage.values["teacher"], "teachers", study.teachers)
    for name, keys in study.teachers.items():
        labels = keys.get("labels")
        for task in labels if isinstance(labels, dict) else ():
            check(f"teachers.{name}.labels: task", task, "tasks", study.tasks)


def _check_source(study: "Study", where: str, name: str) -> None:
    """Check that the data source of the study has a task."""
    task, source = study.tasks[name], study.data["source"]
    if task.source is None and task.synthetic != (source == "synthetic"):
        allowed = [
            other
            for other, row in study.tasks.items()
            if row.source or row.synthetic == (source == "synthetic")
        ]
        raise UserError(
            f"{where}: data.source {source} has no task {shown(name)}, allowed: {listing(allowed)}"
        )
    if task.synthetic:
        for split in task.splits:
            check_size(name, split, study.data[split])


def _assistant_points(study: "Study") -> list[tuple[str, dict[str, Any]]]:
    """(where, keys of a run) of the teacher assistants."""
    return [(f"teachers.{name}.run", keys) for name, keys in assistants(study).items()]


def _used(study: "Study") -> list[tuple[str, str, Any]]:
    """(where, key, value) for every value that the study gives to a key of a run."""
    points = [("base", study.base), *((f"include[{i}]", e) for i, e in enumerate(study.include))]
    points += _assistant_points(study)
    used = [(f"{where}.{k}", k, v) for where, point in points for k, v in point.items()]
    used += [(f"axes.{k}[{i}]", k, v) for k, vs in study.axes.items() for i, v in enumerate(vs)]
    return used + [
        (f"exclude[{i}].{k}", k, v)
        for i, entry in enumerate(study.exclude)
        for k, values in entry.items()
        for v in values
    ]


def _check_missing(study: "Study", raw: dict[Any, Any]) -> None:
    """Check that every cell has a task, a student and a teacher."""
    base, axes = set(raw.get("base") or ()), set(raw["axes"] or ())
    if not base | axes <= RUN_FIELDS.keys():  # what is missing may be there, mistyped
        return
    for key in ("task", "student"):
        if key not in base | axes:
            keep(UserError(f"base.{key}: missing; give it under base or as an axis"))
    with kept():
        tuned = study.select.axes if study.select else ()
        check_design(study.design, list(raw["axes"] or ()), tuned)
    if study.design.kind == ONE_BY_ONE:
        for key in ("student", "teacher"):
            if key in axes and key not in base:
                text = "one-at-a-time varies each axis alone from the base"
                keep(UserError(f"base.{key}: missing; {text}"))
    if len(study.teachers) > 1 and "teacher" not in base | axes:
        names = listing(study.teachers)
        keep(UserError(f"base.teacher: missing; there are several teachers: {names}"))


def _check_figures(study: "Study") -> None:
    """Check that figures are along axes that the study varies and does not tune."""
    tuned = study.select.axes if study.select else ()
    named = [*study.axes, *(key for entry in study.include for key in entry)]
    varied = [key for key in named if key not in tuned]
    for i, name in enumerate(study.figures or ()):
        for axis in axes_of(name):
            if axis not in varied:
                why = "selects the value of" if axis in tuned else "does not vary"
                text = f"the study {why} {axis}; it varies {listing(dict.fromkeys(varied))}"
                keep(UserError(f"figures[{i}]: {name}: {text}"))


def _check_looks(study: "Study") -> None:
    """Check that the seeds of the axes reach the first look and do not go beyond the last."""
    if not study.looks:
        return
    seeds, (first, *_, last) = len(study.axes.get("seed", ())), (*study.looks, study.looks[-1])
    if not first <= seeds <= last:
        keep(
            UserError(
                f"looks: the first look is at {first} seeds and the last at {last}, but axes.seed "
                f"has {seeds}; allowed: {first} to {last}"
            )
        )


def _check_selected(study: "Study") -> None:
    """Check that what the key `select` names exists, and that nothing else sets what it sets."""
    if study.select:
        points = [("base", study.base), ("axes", dict(study.axes))]
        points += [(f"include[{i}]", entry) for i, entry in enumerate(study.include)]
        points += [(f"exclude[{i}]", dict(entry)) for i, entry in enumerate(study.exclude)]
        with kept():
            check_select(study.select, points, study.axes, study.teachers)
