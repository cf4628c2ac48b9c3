"""Prepares a process before it loads torch: faster imports, memory that is kept, and determinism.

Kept memory is not returned to the system after each step. cuBLAS reads its setting for determinism
when CUDA starts.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from kd.runtime.errors import UserError

_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # glibc's malloc.h


def prepare() -> None:
    """Do all of this; every step that runs a model calls it first.

    Raises:
        UserError: Python runs without docstrings, which transformers reads.
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
    """Keep freed memory in the process, in huge pages, so that large tensors reuse it.

    By default glibc returns each large tensor to the system when it is freed, and the next step
    faults its pages in again. That took up to a tenth of a step on a CPU (docs/performance.md).
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first tensor
    with suppress(Exception):  # other systems and C libraries have no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, -1)


def _import_transformers() -> None:
    """Import transformers' encoders, the fast way if that works with the installed versions."""
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
    """Import them without four optional packages that nothing here uses: half of the imports.
    Their list of models is made once.

    These are SciPy and torchvision (losses of object detection), torch.distributed (models over
    several machines) and the compiler, which decorators load even if they compile nothing, and
    which torchvision loads too. To transformers they look as if they were not installed. Afterwards
    they can be imported as usual.
    """
    import torch

    available = torch.distributed.is_available
    try:
        torch.distributed.is_available = lambda: False
        with replaced({"scipy": None, "torchvision": None}), no_compiler(), _models_listed_once():
            _import_encoders()
    finally:
        torch.distributed.is_available = available


@contextmanager
def _models_listed_once() -> Iterator[None]:
    """Let `transformers.models` take, inside the block, its list of models from `transformers`.

    Both read the files of all models for it, and each takes most of a second. The cache that
    transformers has for this is smaller than the number of its models.
    """
    import transformers.utils.import_utils as imports

    listed = imports.define_import_structure

    def once(module_path: Any, prefix: str | None = None) -> Any:
        path = Path(module_path)
        if prefix or path.parts[-2:] != ("models", "__init__.py"):
            return listed(module_path, prefix)
        known = listed(path.parent, prefix="models")  # cached: `transformers` has asked for it
        return {
            needs: {
                name.removeprefix("models."): objects
                for name, objects in modules.items()
                if name.startswith("models.")
            }
            for needs, modules in known.items()
        }

    imports.__dict__["define_import_structure"] = once
    try:
        yield
    finally:
        imports.__dict__["define_import_structure"] = listed


@contextmanager
def no_compiler() -> Iterator[None]:
    """Let code exclude functions from the compiler, inside the block, without loading it.

    Loading and saving models asks for that, and the compiler takes a second to load. One that is
    loaded stays.
    """
    if "torch._dynamo" in sys.modules:
        yield
        return
    import torch

    compiler = _NoCompiler("torch._dynamo")
    compiler.__path__ = [f"{torch.__path__[0]}/_dynamo"]  # a part of it is used
    with replaced({"torch._dynamo": compiler}):
        yield


@contextmanager
def one_machine() -> Iterator[None]:
    """Let code ask, inside the block, whether a tensor is spread over machines, without loading
    torch's module for that.

    Saving a model asks it of each weight, and the module takes a second to load. If it is loaded,
    it stays.
    """
    name = "torch.distributed.tensor"
    if name in sys.modules:
        yield
        return
    module = ModuleType(name)
    module.__dict__["DTensor"] = type("DTensor", (), {})
    with replaced({name: module}):
        yield


@contextmanager
def replaced(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Replace modules inside the block; one replaced by None looks as if it were not installed."""
    before = _loaded(modules)
    sys.modules |= modules  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in _loaded(modules):
            del sys.modules[name]
        sys.modules |= before


def _loaded(packages: Iterable[str]) -> dict[str, ModuleType]:
    """The loaded modules among `packages`, and their parts. A part that stays, without its package,
    would be missing in it when the package itself is loaded."""
    return {
        name: module
        for name, module in sys.modules.items()
        if any(name == package or name.startswith(f"{package}.") for package in packages)
    }


class _NoCompiler(ModuleType):
    """A module in which every name is a decorator that changes nothing. Nothing is compiled."""

    eval_frame = SimpleNamespace(OptimizedModule=type("OptimizedModule", (), {}))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _unchanged


def _unchanged(function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
    return function or _unchanged
