"""The optimiser against torch's own."""

from typing import Any

import pytest
import torch
from torch import nn

from kd.training import optimiser
from kd.training.optimiser import adamw


def _trained(make: Any) -> tuple[list[torch.Tensor], dict[str, Any]]:
    torch.manual_seed(0)
    model = nn.Linear(7, 5)
    groups = [
        {"params": [model.weight], "weight_decay": 0.1},
        {"params": [model.bias], "weight_decay": 0.0},
    ]
    optimiser = make(groups)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 / (step + 1))
    for _ in range(5):
        model(torch.randn(3, 7)).square().sum().backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return list(model.parameters()), optimiser.state_dict()


def test_numbers_are_those_of_torchs_fused_adamw() -> None:
    own, state = _trained(lambda groups: adamw(groups, 0.01))
    torchs, other = _trained(lambda groups: torch.optim.AdamW(groups, lr=0.01, fused=True))
    for mine, theirs in zip(own, torchs, strict=True):
        assert torch.equal(mine, theirs)
        assert not mine.grad_fn and mine.requires_grad  # the step is no part of a graph
    assert state["param_groups"] == other["param_groups"]


def test_state_goes_into_torchs_and_back() -> None:
    parameters, state = _trained(lambda groups: adamw(groups, 0.01))
    groups = [{"params": [p]} for p in parameters]
    for made in (torch.optim.AdamW(groups, lr=0.01, fused=True), adamw(groups, 0.01)):
        made.load_state_dict(state)
        assert torch.equal(made.state[parameters[0]]["exp_avg"], state["state"][0]["exp_avg"])


def _refuse(function: Any) -> Any:
    raise TypeError("it has another shape")


@pytest.mark.parametrize("unwrap", [_refuse, lambda function: None, lambda function: print])
def test_where_torch_is_not_as_it_was_its_own_is_taken(monkeypatch, unwrap) -> None:
    expected, _ = _trained(lambda groups: adamw(groups, 0.01))
    monkeypatch.setattr(optimiser, "unwrap", unwrap)
    optimiser._unwrapped.cache_clear()
    try:
        assert optimiser._unwrapped() is None
        found, _ = _trained(lambda groups: adamw(groups, 0.01))
    finally:
        optimiser._unwrapped.cache_clear()
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
