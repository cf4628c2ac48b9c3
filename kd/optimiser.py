"""AdamW, fused, without the wrappers that load torch's compiler at their first call.

They do nothing where nothing is compiled, and cost a job most of a second. The numbers are those of
`torch.optim.AdamW(fused=True)`.
"""

from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, fused."""

    def __init__(self, groups: list[dict[str, Any]], rate: float) -> None:
        super().__init__(groups, lr=rate, fused=True)

    step = torch.no_grad()(unwrap(torch.optim.AdamW.step))
    zero_grad = unwrap(Optimizer.zero_grad)
    add_param_group = unwrap(Optimizer.add_param_group)
    state_dict = unwrap(Optimizer.state_dict)
    load_state_dict = unwrap(Optimizer.load_state_dict)
