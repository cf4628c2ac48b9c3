"""The history of a training: means of its losses over every few steps, as rows and as a file."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from kd.runtime.files import atomic_write

# Columns of a history.
DEV_SCORE = "dev_score"
HELD_OUT = "held_out_"  # before the name of a loss
HELD_OUT_LOSS = f"{HELD_OUT}loss"


class Recorder:
    """Means of the loss and its parts over every few steps. A GPU is only waited for at these."""

    def __init__(self, every: int) -> None:
        self.every, self.rows = every, list[dict[str, float]]()
        self.sums: dict[str, Tensor] = {}
        self.counts: Counter[str] = Counter()

    def add(
        self,
        step: int,
        last: bool,
        rate: float,
        values: dict[str, Tensor],
        measured: dict[str, float] | None = None,
    ) -> str:
        """Add the losses of a step.

        Args:
            step: its number, from 1.
            last: whether it is the last of the training.
            rate: its learning rate.
            values: scalars by name.
            measured: what was measured on other examples after it. It ends a row, so that it stands
                at its own step.

        Returns:
            The mean loss of a row that ends here, as text; '' if none ends.
        """
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts.update(values.keys())
        if step % self.every and not last and measured is None:
            return ""
        sums = [value / self.counts[name] for name, value in self.sums.items()]
        means = dict(zip(self.sums, torch.stack(sums).tolist(), strict=True))  # one wait for all
        self.rows.append({"step": step, "learning_rate": rate, **means, **(measured or {})})
        self.sums, self.counts = {}, Counter()
        shown = {"loss": means["loss"]}
        for name, word in ((DEV_SCORE, "dev"), (HELD_OUT_LOSS, "held out")):
            if measured and name in measured:
                shown[word] = measured[name]
        return ", ".join(f"{word} {value:.4f}" for word, value in shown.items())


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write rows as CSV. A cell is empty where a loss was not computed in any of its steps."""
    text = io.StringIO()
    columns = dict.fromkeys(["step", *(name for row in rows for name in row)])
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, text.getvalue())
