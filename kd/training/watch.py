"""Ends a training whose numbers are not finite."""

import math

import torch
from torch import Tensor

from kd.runtime.errors import UserError


class Watch:
    """Ends a training at the first step with a number that is not finite, and names it.

    The numbers are the losses, the norm of the gradient, and the largest logits.

    To read a number is to wait for the GPU. So the numbers of `patience` steps are read together.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._unread: list[tuple[int, dict[str, Tensor], Tensor]] = []

    def add(self, step: int, values: dict[str, Tensor], ids: Tensor, last: bool) -> None:
        """Add the numbers of a step (scalars) and the ids (B,) of its examples; check if due."""
        self._unread.append((step, values, ids))
        if last or len(self._unread) >= self.patience:
            self.check()

    def check(self) -> None:
        """Check the numbers that were added since the last check.

        Raises:
            UserError: the first step that went wrong, its terms, and the ids of its examples.
        """
        unread, self._unread = self._unread, []
        if not unread:
            return
        numbers = iter(
            torch.stack([v for _, values, _ in unread for v in values.values()]).tolist()
        )
        for step, values, ids in unread:
            found = {name: next(numbers) for name in values}
            if bad := [f"{n} is {value}" for n, value in found.items() if not math.isfinite(value)]:
                raise UserError(
                    f"the training is not finite at step {step} ({', '.join(bad)}), of the "
                    f"examples {', '.join(map(str, ids.tolist()))}; a smaller learning_rate or "
                    f"weight may help"
                )
