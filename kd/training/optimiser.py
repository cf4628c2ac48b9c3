"""AdamW, fused, without the wrappers that load torch's compiler at their first call.

Without compilation they do nothing but cost a job most of a second. The numbers are those of
`torch.optim.AdamW(fused=True)`, which is used if the wrappers of a torch version are not known.
"""

from functools import cache
from inspect import unwrap
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


def adamw(groups: list[dict[str, Any]], rate: float) -> torch.optim.AdamW:
    """`torch.optim.AdamW`, fused."""
    return (_unwrapped() or torch.optim.AdamW)(groups, lr=rate, fused=True)


@cache
def _unwrapped() -> type[torch.optim.AdamW] | None:
    """The class without its wrappers; None if removing them, or a first step, fails."""
    try:

        class AdamW(torch.optim.AdamW):
            step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
            zero_grad = unwrap(Optimizer.zero_grad)
            add_param_group = unwrap(Optimizer.add_param_group)
            state_dict = unwrap(Optimizer.state_dict)
            load_state_dict = unwrap(Optimizer.load_state_dict)

        weight = nn.Parameter(torch.ones(1))
        optimiser = AdamW([{"params": [weight]}], lr=0.5, weight_decay=0.0, fused=True)
        weight.grad = torch.ones(1)
        optimiser.step()  # its first step is the learning rate, whatever the gradient
        optimiser.zero_grad(set_to_none=True)
        optimiser.load_state_dict(optimiser.state_dict())
        works = weight.grad is None and abs(weight.item() - 0.5) < 1e-6
    except Exception:
        return None
    return AdamW if works else None
