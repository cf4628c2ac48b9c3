"""The history of a training: means of its losses over every few steps, as rows and as a file."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from kd.runtime.files import atomic_write

DEV_SCORE = "dev_score"  # the column of a history


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
        score: float | None = None,
    ) -> str:
        """Add the losses of a step, scalars by name.

        A dev score ends a row, so that it stands at its own step.

        Returns:
            The mean loss of a row that ends here, as text; '' if none ends.
        """
        for name, value in values.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts.update(values.keys())
        if step % self.every and not last and score is None:
            return ""
        means = {name: (value / self.counts[name]).item() for name, value in self.sums.items()}
        scored = {} if score is None else {DEV_SCORE: score}
        self.rows.append({"step": step, "learning_rate": rate, **means, **scored})
        self.sums, self.counts = {}, Counter()
        return f"loss {means['loss']:.4f}" + ("" if score is None else f", dev {score:.4f}")


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write rows as CSV. A cell is empty where a loss was not computed in any of its steps."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, text.getvalue())
