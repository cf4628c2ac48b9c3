"""What the numbers of a training depend on, beside its recipe and data: device, versions, code."""

import ast
from pathlib import Path
from typing import Any

import torch
import transformers

import kd
from kd.jobs.record import device_name
from kd.runtime.hashes import file_digest

_PACKAGE = Path(kd.__file__).parent
_TRAININGS = ("kd.jobs.teacher", "kd.jobs.distil", "kd.jobs.stage")
# Modules and packages that trainings import but that do not change their numbers, with all that
# only these import. They handle files, errors and signals, records and scores, or turn a study file
# into the specs of its runs, which are part of a checkpoint's identity anyway.
_NO_NUMBERS = (
    "kd.runtime",
    "kd.axes.constant_answer",
    "kd.study.check",
    "kd.study.grid",
    "kd.study.located",
    "kd.study.paths",
    "kd.teacher.manifests",
    "kd.data.corpus_text",
    "kd.jobs.circumstances",
    "kd.jobs.corpus",
    "kd.jobs.evaluate",
    "kd.jobs.inputs",
    "kd.jobs.record",
    "kd.jobs.setup",
    "kd.jobs.stored",
    "kd.encoders.save",
    "kd.training.checkpoint",
    "kd.training.evaluation",
    "kd.training.history",
    "kd.training.watch",
)
_NUMBERS = (
    "kd.runtime.bf16",
    "kd.runtime.device",
    "kd.runtime.startup",
)  # exceptions: these do change numbers


def circumstances(device: torch.device, threads: int) -> dict[str, Any]:
    """Device, threads, versions, and a digest of the code: a part of a checkpoint's identity."""
    return {
        "device": device_name(device),
        "threads": threads,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "code": file_digest(*map(_file, training_modules())),
    }


def training_modules() -> list[str]:
    """The modules of kd on whose code the numbers of a training depend: all that the training jobs
    import, directly or not, except `_NO_NUMBERS`."""
    found: set[str] = set()
    todo = [*_TRAININGS, *_NUMBERS]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [other for other in _imports(name) if not _changes_nothing(other)]
    return sorted(found)


def _changes_nothing(name: str) -> bool:
    return name not in _NUMBERS and any(f"{name}.".startswith(f"{n}.") for n in _NO_NUMBERS)


def _imports(name: str) -> set[str]:
    """The modules of kd that a module imports anywhere in its text."""
    names = set()
    for node in ast.walk(ast.parse(_file(name).read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {found for found in names if found.startswith("kd.") and _file(found).is_file()}


def _file(name: str) -> Path:
    """The file of a module, or of a package's own code."""
    path = _PACKAGE.parent.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
