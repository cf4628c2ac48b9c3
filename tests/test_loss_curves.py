"""Trainings give the numbers that they gave when `loss_curves.json` was made.

`loss_curves` says how to make the file anew.
"""

import json

import pytest
from loss_curves import STORED, make_curves

# (relative, absolute). On the machine that made the file the curves are equal to the last digit.
# Elsewhere kernels add up in another order: with four other settings of the instruction sets
# (ATEN_CPU_CAPABILITY, MKL_CBWR, ONEDNN_MAX_CPU_ISA) no value moved by more than 1e-6 and 4e-5 of
# it in fp32, 1e-5 and 8.4e-3 of it in bf16. The absolute part is for losses near 0. Loss weights
# that are 1.001 times as large, other dropout, and a warm-up that is one step longer all fail.
FP32, BF16 = (2e-4, 1e-6), (3e-2, 1e-5)


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    return make_curves(tmp_path_factory.mktemp("curves"))


@pytest.mark.parametrize("name", json.loads(STORED.read_text()))
def test_a_training_gives_the_stored_curve(curves, name):
    stored, found = json.loads(STORED.read_text())[name], curves[name]
    assert list(found) == list(stored), "other parts of the loss"
    relative, absolute = BF16 if name == "bf16" else FP32
    for column, values in stored.items():
        wanted = [v if v is None else pytest.approx(v, rel=relative, abs=absolute) for v in values]
        assert found[column] == wanted, column


def test_every_curve_is_stored(curves):
    assert list(curves) == list(json.loads(STORED.read_text()))


@pytest.mark.parametrize("other", ["bf16", "live"])
def test_precision_and_stored_outputs_leave_their_traces(curves, other):
    """Tolerances would hide it if bf16 were computed in fp32, or stored outputs were not read."""
    assert curves[other]["hard"] != curves["fp32"]["hard"]
    assert curves[other]["logits:kl"] != curves["fp32"]["logits:kl"]
