"""The teacher's features of a batch: read from the store where they are there, else computed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from kd.encoders.capture import Capture, Features, capture_teacher
from kd.encoders.micro_batches import in_micro_batches
from kd.losses.moving import Moment
from kd.runtime.device import to_device
from kd.study.teacher_outputs import Key
from kd.teacher.store import StoredOutputs, captured


class TeacherFeatures:
    """Features of a frozen teacher, batch by batch: read from the store, the rest computed.

    The teacher runs under inference_mode, in eval mode, and by default in the precision of its
    weights whatever the precision of the run (`capture.frozen`). It stops at the deepest layer that
    is needed. A vector of an example (cls, pooled) that is not stored comes as the hidden states of
    its layer.

    Args:
        keys: (feature, layer) that the terms of the run read.
        stored: the arrays that are stored; None for none.
        teacher: the model; None where all keys are stored.
        device: where the features are needed.
        trains: whether the teacher runs in training mode, which is an erratum.
        precision: `bf16` computes in autocast, for outputs that are never stored.
    """

    def __init__(
        self,
        keys: Iterable[Key],
        stored: StoredOutputs | None,
        teacher: PreTrainedModel | None,
        device: torch.device,
        trains: bool = False,
        precision: str = "fp32",
    ) -> None:
        self.stored, self.device, self.capture = stored, device, None
        self.precision = precision
        computed = captured(set(keys) - set(stored.arrays if stored else ()))
        if computed:
            assert teacher is not None, "some features are not stored, and there is no teacher"
            teacher.to(device).train(trains)  # type: ignore[arg-type]
            self.capture = Capture(teacher, computed)

    def __call__(
        self,
        rows: Tensor,
        inputs: dict[str, Tensor],
        moment: Moment,
        micro_batch: int | None = None,
        read: Features | None = None,
    ) -> Features:
        """The features of some examples of the training split.

        Args:
            rows: (B,) numbers of the examples in the split.
            inputs: the encoder's inputs for them, (B, L).
            moment: where the training stands.
            micro_batch: examples in the teacher at a time; all of them by default.
            read: what `read(rows)` returned; by default it is read now.

        Returns:
            By (feature, layer): logits (B, C), hidden states (B, L, H), Q, K or V (B, h, L, d),
            and stored vectors (B, H).
        """
        found = Features()
        found |= to_device(self.read(rows) if read is None else read, self.device)
        if self.capture is not None:
            run = partial(capture_teacher, self.capture, self.precision)
            with _own_dropout(self.capture.model, moment, self.device), torch.no_grad():
                found |= in_micro_batches(run, inputs, micro_batch or len(rows))
        return found

    @property
    def draws(self) -> bool:
        """Whether the teacher runs, and draws random numbers."""
        return self.capture is not None and self.capture.model.training

    def read(self, rows: Tensor, length: int | None = None) -> Features:
        """What is stored of some examples, padded to `length` or to the longest, on the CPU;
        nothing if nothing is."""
        return {} if self.stored is None else self.stored.batch(rows, length)

    def __enter__(self) -> "TeacherFeatures":
        return self

    def __exit__(self, *error: object) -> None:
        if self.capture is not None:
            self.capture.close()


@contextmanager
def _own_dropout(model: PreTrainedModel, moment: Moment, device: torch.device) -> Iterator[None]:
    """A teacher in training mode draws dropout from a generator of its own, so that it neither
    shifts nor repeats the student's."""
    if not model.training:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(moment.step_seed)
        yield
