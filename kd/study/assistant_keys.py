"""The key `run` of a teacher: it is a teacher assistant, the student of that run.

Source: Mirzadeh et al. 2020, arXiv:1902.03393.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from kd.axes.fields import RUN_FIELDS, TEACHER_FIELDS
from kd.runtime.errors import UserError, listing, shown, unknown
from kd.study.keys import values_of
from kd.study.mistakes import keep

if TYPE_CHECKING:
    from kd.study.check import Study

RUN = "run"
# Fields of an assistant's run that are those of the run that it teaches: its data.
SHARED = ("task", "train_fraction", "fraction_seed", "teacher_data", "held_out", "held_out_seed")
ASSISTANT_FIELDS = {key: field for key, field in RUN_FIELDS.items() if key not in SHARED}


def teacher_keys(keys: dict[str, Any], where: str) -> dict[str, Any]:
    """The keys of one teacher, parsed: those of a model, or `run` alone."""
    if RUN not in keys:
        for key in keys:
            if key not in TEACHER_FIELDS:
                keep(unknown(f"{where}: key", key, [*TEACHER_FIELDS, RUN]))
        known = {key: value for key, value in keys.items() if key in TEACHER_FIELDS}
        if "model" not in keys:
            text = f"missing; a hub id, a folder, or scratch. A teacher assistant has {RUN} instead"
            keep(UserError(f"{where}.model: {text}"))
        return values_of(known, where, TEACHER_FIELDS)
    for key in keys:
        if key != RUN:
            text = f"it would change nothing: {where}.{RUN} says how this teacher is trained"
            keep(UserError(f"{where}.{key}: {text}"))
    run, here = keys[RUN], f"{where}.{RUN}"
    if not isinstance(run, dict) or not run:
        raise UserError(f"{here}: found {shown(run)}, allowed: keys of a run, such as student")
    for key in SHARED:
        if key in run:
            text = "not a key here: it is that of each run which this teacher teaches"
            keep(UserError(f"{here}.{key}: {text}"))
    own = {key: value for key, value in run.items() if key not in SHARED}
    return {RUN: values_of(own, here, ASSISTANT_FIELDS)}


def assistants(study: "Study") -> dict[str, dict[str, Any]]:
    """{name: keys of its run} of the teachers that are students of runs."""
    return {name: keys[RUN] for name, keys in study.teachers.items() if RUN in keys}


def taught_by(study: "Study", name: str) -> str | None:
    """The name of the teacher of an assistant; None where the study does not say it."""
    own = study.teachers[name][RUN].get("teacher")
    models = [other for other, keys in study.teachers.items() if RUN not in keys]
    return own or study.base.get("teacher") or (models[0] if len(models) == 1 else None)


def first_teacher(identity: Mapping[str, Any]) -> Mapping[str, Any]:
    """The identity of the teacher with which a chain of assistants starts, by that of its last."""
    while RUN in identity:
        identity = identity[RUN]["teacher"]
    return identity


def check_assistants(study: "Study") -> None:
    """Keep the mistakes of assistants that show with the rest of the study: what is missing, and
    teachers that learn from each other in a circle."""
    seen: set[str] = set()
    for name, run in assistants(study).items():
        where = f"teachers.{name}.{RUN}"
        if "student" not in {*run, *study.base}:
            keep(UserError(f"{where}.student: missing; give it here or under base"))
        if taught_by(study, name) is None:
            names = listing(other for other in study.teachers if other != name)
            text = f"give it here or under base: {names}" if names else "no teacher has a model"
            keep(UserError(f"{where}.teacher: missing; {text}"))
            continue
        chain = [name, *_teachers_of(study, name)]
        if chain[-1] == name and not seen & {*chain}:
            lacking = [n for n in chain[:-1] if "teacher" not in study.teachers[n][RUN]]
            why = f"; {lacking[0]} names none, so it has base.teacher" if lacking else ""
            keep(
                UserError(
                    f"{where}.teacher: found a cycle ({' <- '.join(chain)}), allowed: a chain "
                    f"that ends at a teacher with a model{why}"
                )
            )
            seen |= {*chain}


def _teachers_of(study: "Study", name: str) -> Iterator[str]:
    """The teacher of an assistant, its teacher, and so on, until one comes for the second time."""
    seen: set[str] = set()
    next_one = taught_by(study, name)
    while next_one is not None and next_one not in seen:
        yield next_one
        seen.add(next_one)
        keys = study.teachers.get(next_one, {})
        next_one = taught_by(study, next_one) if RUN in keys else None
