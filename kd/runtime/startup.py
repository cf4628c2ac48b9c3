"""What a job does before it loads torch: quick imports, memory that stays with the process, and the
one setting of deterministic CUDA kernels that must be there before CUDA starts.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from kd.runtime.errors import UserError

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # glibc's malloc.h


def prepare() -> None:
    """All of it; called first by every step that runs a model.

    Raises:
        UserError: Python was told to leave out docstrings, which transformers reads.
    """
    if sys.flags.optimize > 1:
        raise UserError(
            "PYTHONOPTIMIZE (python -O): found 2, allowed: 0, 1; without docstrings transformers "
            "does not load"
        )
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_memory()
    _import_transformers()


def keep_memory() -> None:
    """Large tensors come from memory that the process already has, in huge pages.

    glibc gives every large tensor back to the system when it is freed, and the next step faults its
    pages in again, one by one: up to a tenth of a step on a CPU (docs/performance.md).
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first tensor
    with suppress(Exception):  # other systems and C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def _import_transformers() -> None:
    """Import transformers' encoders, quickly where that works with the versions that are there."""
    before = set(sys.modules)
    try:
        _import_quickly()
    except Exception as error:
        print(f"transformers is imported in full: {type(error).__name__}: {error}", flush=True)
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "transformers":  # half of it, or without its parts
                del sys.modules[name]
        _import_encoders()


def _import_encoders() -> None:
    import transformers.modeling_utils
    import transformers.models.bert.modeling_bert  # noqa: F401


def _import_quickly() -> None:
    """Import them without what they can do without and nothing here uses.

    SciPy (losses of object detection), torch.distributed (models over several machines), and the
    compiler, which decorators load only to leave their functions alone: half of the imports. To
    transformers they look as if they were not installed, and afterwards they can be imported again.
    """
    import torch

    compiler = _NoCompiler("torch._dynamo")
    compiler.__path__ = [f"{torch.__path__[0]}/_dynamo"]  # a part of it is used
    available = torch.distributed.is_available
    try:
        torch.distributed.is_available = lambda: False
        with replaced({"scipy": None, "torch._dynamo": compiler}):
            _import_encoders()
    finally:
        torch.distributed.is_available = available


@contextmanager
def replaced(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """What an import of these names finds inside the block; None looks as if not installed."""
    before = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules |= modules  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules |= before


class _NoCompiler(ModuleType):
    """Its decorators change nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unchanged


def _unchanged(function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
    return function or _unchanged
