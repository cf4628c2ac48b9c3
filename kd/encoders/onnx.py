"""An encoder with a classification head as ONNX graphs: fp32, and int8 with dynamic quantisation.

onnx, onnxscript and onnxruntime are optional: `pip install 'kd-grid[export]'`.
"""

import contextlib
import importlib.util
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kd.runtime.errors import UserError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_OPSET = 18


def check_packages() -> None:
    """Raise UserError where a package that the export needs is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the export to ONNX needs {', '.join(missing)}: pip install 'kd-grid[export]'"
        )


class _Logits(nn.Module):
    """A model whose inputs are positional and whose output is one tensor, as a graph has them."""

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.model = model
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.model(**dict(zip(self.names, inputs, strict=True))).logits
        return logits


def write_onnx(model: nn.Module, example: dict[str, Tensor], longest: int, path: Path) -> None:
    """Write the graph of a model: logits (B, C) from inputs (B, L), any B, any L up to `longest`.

    Args:
        model: on the CPU, in fp32; it is put into eval mode.
        example: the inputs of at least two examples, by name.
        longest: the longest input in tokens.
        path: the .onnx file; weights are inside it.
    """
    names = list(example)
    batch = torch.export.Dim("batch", min=1, max=2**20)
    length = torch.export.Dim("length", min=2, max=longest)
    loud = logging.getLogger("torch.onnx")
    level = loud.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of torch about itself
        loud.setLevel(logging.ERROR)
        try:
            program = torch.onnx.export(
                _Logits(model.eval(), names),
                tuple(example.values()),
                dynamo=True,
                input_names=names,
                output_names=["logits"],
                dynamic_shapes=(tuple({0: batch, 1: length} for _ in names),),
                opset_version=_OPSET,
                verbose=False,
            )
        finally:
            loud.setLevel(level)
        assert program is not None, "dynamo=True returns a program"
        program.save(path, external_data=False)


def write_int8(fp32: Path, path: Path) -> None:
    """Quantise the weights of the matrix products to int8; activations when they are computed."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    loud = logging.getLogger()
    level = loud.level
    loud.setLevel(logging.ERROR)  # its advice to optimise the graph beforehand
    try:
        quantize_dynamic(fp32, path, weight_type=QuantType.QInt8)
    finally:
        loud.setLevel(level)


class OnnxModel:
    """Runs a graph on the CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, inputs: dict[str, Any]) -> np.ndarray:
        """(B, C) logits of inputs (B, L), by name, as NumPy arrays of int64."""
        (logits,) = self.session.run(["logits"], inputs)
        return np.asarray(logits)
