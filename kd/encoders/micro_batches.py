"""A batch run through an encoder in pieces, where the device's memory has no room for it whole.

The loss still sees the features of the whole batch, so terms that relate its examples (contrastive,
relational, CKA, calibrated weights) are what they were: only the encoder's activations are not
kept, but computed again for the backward pass, a piece at a time. It costs one more forward pass.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kd.encoders.capture import Features


def in_pieces(run: Callable[..., Features], inputs: dict[str, Tensor], size: int) -> Features:
    """`run(**inputs)` on at most `size` examples at once; the padding stays that of the batch."""
    count = len(next(iter(inputs.values())))
    if size >= count:
        return run(**inputs)
    found = []
    for start in range(0, count, size):
        piece = {name: tensor[start : start + size] for name, tensor in inputs.items()}
        one = partial(run, **piece)
        found.append(checkpoint(one, use_reentrant=False) if torch.is_grad_enabled() else one())
    return {key: torch.cat([features[key] for features in found]) for key in found[0]}
