"""Runs an encoder on a batch in micro-batches, where the device has no memory for all of it.

The loss still sees the features of the whole batch, so terms that relate its examples (contrastive,
relational, CKA, calibrated weights) do not change. Only the encoder's activations are not kept.
They are computed again for the backward pass, which costs one more forward pass.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from kd.encoders.capture import Features


def in_micro_batches(
    run: Callable[..., Features], inputs: dict[str, Tensor], size: int
) -> Features:
    """The features of a batch, at most `size` examples at a time.

    Args:
        run: the encoder: inputs to features, for example a `Capture`.
        inputs: tensors (B, L). The padding of the batch stays, so L is the same in every part.
        size: examples in a micro-batch.

    Returns:
        What `run(**inputs)` returns for the whole batch, with B in front.
    """
    count = len(next(iter(inputs.values())))
    if size >= count:
        return run(**inputs)

    def forward(*tensors: Tensor) -> Features:
        return run(**dict(zip(inputs, tensors, strict=True)))

    parts = []
    for start in range(0, count, size):
        part = [tensor[start : start + size] for tensor in inputs.values()]
        # The second pass must repeat the dropout. `checkpoint` restores the random states only of
        # devices that it finds among its positional arguments.
        parts.append(
            checkpoint(forward, *part, use_reentrant=False)
            if torch.is_grad_enabled()
            else forward(*part)
        )
    return {key: torch.cat([features[key] for features in parts]) for key in parts[0]}
