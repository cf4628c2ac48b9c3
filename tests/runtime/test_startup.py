"""What a job leaves unloaded, and what comes back afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kd.runtime.startup import replaced

_CHECK = """
import os, sys, tempfile
from kd.runtime import startup
%s
startup.prepare()
assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
from kd.training.optimiser import adamw
import torch, transformers
torch.manual_seed(0)
torch.set_num_threads(1)
config = transformers.BertConfig(
    vocab_size=60, hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40
)
model = transformers.BertForSequenceClassification(config).train()
optimiser = adamw([{"params": list(model.parameters())}], 0.01)
for _ in range(3):
    loss = model(torch.arange(12).view(2, 6), labels=torch.tensor([0, 1])).loss
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
print("loaded", *(name for name in %r if name in sys.modules))
with tempfile.TemporaryDirectory() as folder:
    with startup.no_compiler(), startup.one_machine():
        model.save_pretrained(folder)
        again = transformers.BertForSequenceClassification.from_pretrained(folder)
print("compiler", "torch._dynamo" in sys.modules, "torch.distributed.tensor" in sys.modules)
import scipy.optimize, torch.distributed.tensor
compiled = torch.compile(lambda x: x + 1, backend="eager")
print(compiled(torch.ones(1)).item() == 2 and torch._dynamo.config.cache_size_limit > 0,
      torch.distributed.is_available())
print(loss.item().hex(), sum(p.double().sum() for p in model.parameters()).item().hex())
"""
_HEAVY = (
    "torch._dynamo.eval_frame",
    "torch.distributed.tensor",
    "sympy",
    "scipy",
    "sklearn",
    "pandas",
)
# As with versions of torch and transformers in which the private names are other ones: the import
# fails half-way, and the optimiser at its first step.
_BREAK = """
class Broken(startup._NoCompiler):
    def __getattr__(self, name):
        assert "transformers.utils" in sys.modules
        raise RuntimeError("not as it was")
startup._NoCompiler = Broken
import kd.training.optimiser
kd.training.optimiser.unwrap = lambda function: None
"""


def _job(change: str) -> list[str]:
    code = _CHECK % (change, _HEAVY)
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


@pytest.mark.slow
def test_a_job_trains_without_what_it_does_not_use_or_with_all_of_it_to_the_same_numbers() -> None:
    """And can still compile: the compiler that stood in for torch's is gone."""
    quick, full = _job(""), _job(_BREAK)
    assert quick[:3] == ["loaded", "compiler False False", "True True"]
    assert full[0].startswith("transformers is imported in full: ")
    assert "scipy" in full[1] and full[3] == "True True"
    assert quick[3] == full[4]


_LIST = """
from kd.runtime import startup
startup.prepare()
import transformers.models as models, transformers.utils.import_utils as imports
scanned = imports.create_import_structure_from_path.cache_info().misses
imports.create_import_structure_from_path.cache_clear()
imports.define_import_structure.cache_clear()
structure = imports.define_import_structure(models.__file__)
whole = imports._LazyModule("models", models.__file__, structure)
once = imports.create_import_structure_from_path.cache_info().misses
print(models._class_to_module == whole._class_to_module, models._modules == whole._modules,
      set(models.__all__) == set(whole.__all__), "BertModel" in models._class_to_module)
print(scanned < 1.5 * once)
"""


def test_the_list_of_models_is_made_once_and_is_that_of_transformers() -> None:
    answer = subprocess.run([sys.executable, "-c", _LIST], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.split() == ["True"] * 5


def test_an_installed_torchvision_is_not_loaded(tmp_path: Path) -> None:
    """transformers would load it, and with it torch's compiler: three seconds on a GPU machine."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text("raise RuntimeError('loaded')")
    facts = tmp_path / "torchvision-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 1.0\n")
    code = "from kd.runtime import startup; startup.prepare()"
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stdout) == (0, ""), answer.stdout + answer.stderr


def test_replaced_modules_come_back() -> None:
    import json

    with replaced({"json": None, "no_such_module": None}):
        assert sys.modules["json"] is None
    assert sys.modules["json"] is json
    assert "no_such_module" not in sys.modules


def test_parts_of_replaced_packages_do_not_stay() -> None:
    """Without its package such a part would be missing in it, when it is loaded at last."""
    before = sys.modules["json.decoder"]
    with replaced({"json": None}):
        sys.modules["json.part"] = sys
        sys.modules["json.decoder"] = sys
    assert "json.part" not in sys.modules
    assert sys.modules["json.decoder"] is before
