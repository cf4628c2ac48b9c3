"""Published methods: one file each in `kd/axes/presets`."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from kd.axes.labels import NONE
from kd.runtime.errors import UserError, unknown

FOLDER = Path(__file__).with_name("presets")  # part of the package: a wheel has it too
KEYS = ("method", "source", "deviations", "run")


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
    """The content of a preset's file: method, source, deviations, and the keys of `run`.

    Raises:
        UserError: the file cannot be read, or has other keys.
    """
    path = FOLDER / f"{name}.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read ({reason})") from None
    if not isinstance(found, dict) or set(found) != set(KEYS) or not isinstance(found["run"], dict):
        raise UserError(f"{path}: a preset has the keys {', '.join(KEYS)}, and run has keys itself")
    return found
