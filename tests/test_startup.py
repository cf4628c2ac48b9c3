"""What a job leaves unloaded, and what comes back afterwards."""

import subprocess
import sys

from kd.startup import replaced

_CHECK = """
import os, sys
from kd import startup
startup.prepare()
assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
from kd import steps
from kd.optimiser import AdamW
import torch
weight = torch.nn.Parameter(torch.ones(2, 2))
optimiser = AdamW([{"params": [weight]}], 0.1)
weight.sum().backward()
optimiser.step()
optimiser.zero_grad()
print(*(name for name in %r if name in sys.modules))
import scipy.optimize, torch._dynamo.config, torch.distributed.tensor
print(torch._dynamo.config.cache_size_limit > 0, torch.distributed.is_available())
"""
_HEAVY = ("torch._dynamo", "torch.distributed.tensor", "sympy", "scipy", "sklearn", "pandas")


def test_a_job_trains_without_what_it_does_not_use() -> None:
    """And can still import it: the compiler that stood in for torch's is gone."""
    code = _CHECK % (_HEAVY,)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.splitlines() == ["", "True True"], answer.stderr


def test_replaced_modules_come_back() -> None:
    import json

    with replaced({"json": None, "no_such_module": None}):
        assert sys.modules["json"] is None
    assert sys.modules["json"] is json
    assert "no_such_module" not in sys.modules
