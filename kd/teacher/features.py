"""What the teacher says of a batch: read from its stored outputs, or computed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.encoders.capture import Capture, Features, capture_teacher
from kd.encoders.micro_batches import in_pieces
from kd.losses.moving import Moment
from kd.runtime.device import to_device
from kd.study.stored import Key
from kd.teacher.arrays import StoredOutputs, captured


class Teaching:
    """Features of a frozen teacher: stored ones where they are there, the rest computed.

    The teacher runs under inference_mode, in eval mode (unless `trains`, an erratum), in the
    precision of its weights whatever the run's (see `capture.frozen`), no further than the deepest
    layer that is needed; where all is stored there need be none. Vectors of an
    example (cls, pooled) that are not stored come as the hidden states of their layer.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        stored: StoredOutputs | None,
        teacher: PreTrainedModel | None,
        device: torch.device,
        trains: bool = False,
    ) -> None:
        self.stored, self.device, self.capture = stored, device, None
        computed = captured(set(keys) - set(stored.arrays if stored else ()))
        if computed:
            assert teacher is not None, "some features are not stored, and there is no teacher"
            teacher.to(device).train(trains)  # type: ignore[arg-type]
            self.capture = Capture(teacher, computed)

    def __call__(
        self, rows: Tensor, inputs: dict[str, Tensor], moment: Moment, at_once: int | None = None
    ) -> Features:
        """The features of the examples `rows`, which `inputs` holds padded; computed `at_once`."""
        found: Features = {}
        if self.stored is not None:
            found |= to_device(self.stored.batch(rows), self.device)
        if self.capture is not None:
            run = partial(capture_teacher, self.capture)
            with _own_dropout(self.capture.model, moment, self.device), torch.no_grad():
                found |= in_pieces(run, inputs, at_once or len(rows))
        return found

    def __enter__(self) -> "Teaching":
        return self

    def __exit__(self, *error: object) -> None:
        if self.capture is not None:
            self.capture.close()


@contextmanager
def _own_dropout(model: PreTrainedModel, moment: Moment, device: torch.device) -> Iterator[None]:
    """A teacher in training mode draws dropout: it must not shift, or repeat, the student's."""
    if not model.training:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(moment.seed * 1_000_003 + moment.step)
        yield
