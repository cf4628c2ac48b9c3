"""Published methods: one file each in `kd/axes/presets`."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kd.axes.labels import NONE
from kd.runtime.errors import UserError, unknown

FOLDER = Path(__file__).with_name("presets")  # part of the package: a wheel has it too
KEYS = ("method", "source", "deviations", "run")
STAGE = "stage"  # may be there too: keys of a stage before the task
TASK_ONLY = "-task-only"  # ends the name of a method without its stage


def preset_names() -> list[str]:
    """Names of all presets, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def check_preset(name: str) -> str:
    """Return `name` if it is a preset or `none`.

    Raises:
        UserError: no preset has this name.
    """
    if name != NONE and name not in preset_names():
        raise unknown("preset", name, [NONE, *preset_names()])
    return name


@cache
def read_preset(name: str) -> dict[str, Any]:
    """The content of a preset's file: method, source, deviations, the keys of `run`, and those of
    `stage`, where the method has one before the task.

    Raises:
        UserError: the file cannot be read, or has other keys.
    """
    path = FOLDER / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read ({reason})") from None
    if (
        not isinstance(found, dict)
        or set(found) - {STAGE} != set(KEYS)
        or not all(isinstance(found.get(part, {}), dict) for part in ("run", STAGE))
    ):
        raise UserError(
            f"{path}: a preset has the keys {', '.join(KEYS)}, and may have {STAGE}; run and "
            f"{STAGE} have keys themselves"
        )
    return found


def lacks_stage(name: str, knowledge: str, init_is_stage: bool) -> str:
    """Why a run of this preset is not what the preset says; '' if it is.

    The method of some presets is all in the stage before the task: without it, the run would be
    plain fine-tuning under another name.
    """
    if name == NONE or STAGE not in read_preset(name) or init_is_stage:
        return ""
    if read_preset(name)["run"].get("knowledge") != NONE or knowledge != NONE:
        return ""
    alone = f"{name}{TASK_ONLY}"
    return (
        f"preset {name} fine-tunes the student of its stage before the task, so it needs init "
        f"stage:NAME; {alone} distils on the task alone"
    )


def stage_presets() -> list[str]:
    """Names of the presets that have a stage before the task."""
    return [name for name in preset_names() if STAGE in read_preset(name)]
