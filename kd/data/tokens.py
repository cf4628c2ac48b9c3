"""Tokenised splits: packed without padding in one safetensors file, memory-mapped, cut to batches.

A folder of tokens holds {split}.safetensors and the encoder's config and tokenizer, so that later
steps need neither the text nor the pretrained model to build and export a student.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from kd.axes.architectures import ARCHS
from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind
from kd.axes.tasks import Task
from kd.data.extra import MADE_OF, ORIGINAL, extra_fingerprint, with_extras
from kd.runtime.errors import UserError
from kd.runtime.files import read_json, write_json
from kd.runtime.hashes import file_digest
from kd.runtime.progress import Progress
from kd.runtime.provenance import tokenizer_fingerprint
from kd.runtime.seals import sealed_dir

if TYPE_CHECKING:
    import pandas as pd

LABELLED = "labelled"  # in a batch
_BUCKET = 64  # batches that are sorted by length together
_AT_ONCE = 10_000  # rows a call of the tokenizer; ctrl-C is handled between calls


@dataclass(frozen=True)
class Split:
    """n examples, packed without padding: example i is [offsets[i], offsets[i + 1]) of a vector."""

    flat: dict[str, Tensor]  # each output of the tokenizer, (tokens of all examples,)
    offsets: Tensor  # (n + 1,)
    labels: Tensor  # (n,) class indices or scores; (n, C) of 0 and 1 where they are several
    ids: Tensor  # (n,) stable example ids
    padding: int  # token id of padding
    # (n,) where there are extra examples, which come last: the number of the example that each is
    # made from, TRANSFERRED, or ORIGINAL of one that is no extra example.
    made_of: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> Tensor:
        """(n,) tokens of each example."""
        return self.offsets.diff()

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest example."""
        return int(self.lengths.max())

    def lengths_of(self, rows: Tensor) -> Tensor:
        """Tokens of the examples `rows` (B,) alone."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def batch(self, rows: Tensor, length: int | None = None) -> dict[str, Tensor]:
        """Some examples, padded to the longest of them, or to `length` tokens.

        Args:
            rows: (B,) their numbers in the split.
            length: no less than their longest; None for that.

        Returns:
            input_ids, attention_mask and, if the encoder reads them, token_type_ids, (B, L) int64;
            labels (B,) or (B, C); ids (B,). Where there are extra examples, `labelled` (k,): the
            places in the batch of those that have a label.
        """
        lengths = self.lengths_of(rows)
        length = length or int(lengths.max())
        mask = torch.arange(length, device=rows.device) < lengths[:, None]
        places = self.padded_places(rows, length)
        inputs = {
            name: vector[places].long().masked_fill(~mask, self._fill(name))
            for name, vector in self.flat.items()
        }
        made = self.made_of
        marks = {} if made is None else {LABELLED: (made[rows] == ORIGINAL).nonzero()[:, 0]}
        return {
            **inputs,
            "attention_mask": mask.long(),
            "labels": self.labels[rows],
            "ids": self.ids[rows],
            **marks,
        }

    def padded_places(self, rows: Tensor, length: int) -> Tensor:
        """Indices (B, length) in `flat` of the tokens of the examples `rows` (B,). Those of padding
        are some index."""
        positions = torch.arange(length, device=rows.device)
        places = self.offsets[rows][:, None] + positions
        return places.clamp_max(len(self.flat["input_ids"]) - 1)

    def to(self, device: torch.device) -> "Split":
        """The same split in the memory of a device."""
        made = self.made_of
        return replace(
            self,
            flat={name: vector.to(device) for name, vector in self.flat.items()},
            offsets=self.offsets.to(device),
            labels=self.labels.to(device),
            ids=self.ids.to(device),
            made_of=None if made is None else made.to(device),
        )

    @property
    def originals(self) -> Tensor:
        """(m,) numbers of the examples that are no extra ones."""
        made = self.made_of
        return torch.arange(len(self)) if made is None else (made == ORIGINAL).nonzero()[:, 0]

    def places(self, rows: Tensor) -> Tensor:
        """Indices (tokens,) in `flat` of the tokens of the examples `rows` (B,), one by one."""
        lengths = self.lengths_of(rows)
        before = lengths.cumsum(0) - lengths  # tokens of the examples before
        within = torch.arange(int(lengths.sum())) - before.repeat_interleave(lengths)
        return self.offsets[rows].repeat_interleave(lengths) + within

    def only(self, rows: Tensor) -> "Split":
        """A split of some examples alone; `rows` (m,) are their numbers."""
        places, zero = self.places(rows), torch.zeros(1, dtype=self.offsets.dtype)
        return replace(
            self,
            flat={name: vector[places] for name, vector in self.flat.items()},
            offsets=torch.cat([zero, self.lengths_of(rows).cumsum(0)]),
            labels=self.labels[rows],
            ids=self.ids[rows],
            made_of=None if self.made_of is None else self.made_of[rows],
        )

    def _fill(self, name: str) -> int:
        return self.padding if name == "input_ids" else 0


def epoch_batches(lengths: Tensor, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """The batches of one epoch, each of examples of similar length, in random order.

    A permutation of the examples is cut into buckets of 64 batches. Each bucket is sorted by length
    and cut into batches, and all batches are shuffled. One batch may be smaller; none is dropped.

    Args:
        lengths: (n,) tokens of each example.
        batch_size: examples in a batch.
        generator: draws the order.

    Returns:
        Numbers of examples, (B,) per batch.
    """
    order = torch.randperm(len(lengths), generator=generator)
    batches: list[Tensor] = []
    for bucket in order.split(batch_size * _BUCKET):
        batches += bucket[lengths[bucket].argsort(stable=True)].split(batch_size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator).tolist()]


def ordered_batches(split: Split, batch_size: int) -> Iterator[Tensor]:
    """Batches of all examples, sorted by length, for evaluation: their numbers, (B,) each."""
    yield from split.lengths.argsort(stable=True).split(batch_size)


def tokenise(
    text: Path,
    task: Task,
    tokenizer: Any,
    config: Any,
    max_length: int,
    out: Path,
    progress: Progress | None = None,
    extras: Sequence[Path] = (),
) -> None:
    """Tokenise the Parquet splits in `text`, the training split with extra examples from folders
    `extras`, and write the packed splits to the folder `out`.

    Raises:
        UserError: the tokenizer gives ids that the model has no embedding for.
    """
    import pandas as pd

    config = prepared_config(config, task)
    manifest = read_json(text / "manifest.json")
    typed = _typed(config, tokenizer)
    if typed:  # for those who load the student with it
        names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    with sealed_dir(out) as folder:
        if progress:
            progress.start("tokenising splits", len(task.splits))
        longest = full = 0
        for split in task.splits:
            frame = pd.read_parquet(text / f"{split}.parquet")
            if split == "train" and extras:
                frame = with_extras(frame, extras, task)
            packed, lengths, at_most = _pack(frame, task, tokenizer, max_length, typed)
            top = int(packed["input_ids"].max())
            if top >= config.vocab_size:
                raise UserError(
                    f"the tokenizer gives the id {top}, but the teacher's vocabulary has "
                    f"{config.vocab_size} entries: they do not belong together"
                )
            save_file(packed, folder / f"{split}.safetensors")
            longest, full = max(longest, int(lengths.max())), full + at_most
            if progress:
                progress.advance()
        config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        files = sorted(folder.glob("*.safetensors"))
        write_json(
            folder / "manifest.json",
            {
                **manifest,
                "max_length": max_length,
                "longest": longest,
                "of_max_length": full,  # cut, or exactly as long
                "padding": tokenizer.pad_token_id,
                "fingerprint": file_digest(*files),
                "text_fingerprint": manifest["fingerprint"],
                **({"extra": [extra_fingerprint(folder) for folder in extras]} if extras else {}),
                "tokenizer_fingerprint": tokenizer_fingerprint(folder),
            },
        )


def prepared_config(config: Any, task: Task) -> Any:
    """The encoder's config with the task's labels, as the exported student carries them."""
    config.num_labels = task.outputs
    config.problem_type = task.kind.problem_type
    if task.kind is SCORES:
        return config
    config.id2label = dict(enumerate(task.labels))
    config.label2id = {label: index for index, label in enumerate(task.labels)}
    return config


def unlabelled_split(
    rows: list[dict[str, Any]], task: Task, tokenizer: Any, config: Any, max_length: int
) -> Split:
    """A split of rows without labels (id, sentence1, sentence2), tokenised as `tokenise` does it.

    Its labels are -1 or NaN, so that no metric can be made of them.
    """
    import pandas as pd

    frame = pd.DataFrame(rows).assign(label=float("nan") if task.kind is SCORES else -1)
    packed, _, _ = _pack(frame, task, tokenizer, max_length, _typed(config, tokenizer))
    offsets, labels, ids = (packed.pop(name) for name in ("offsets", "labels", "ids"))
    return Split(packed, offsets, labels, ids, tokenizer.pad_token_id)


def _typed(config: Any, tokenizer: Any) -> bool:
    """Whether the encoder reads segment ids: both have them (of DistilBERT the tokenizer alone).

    The input names of a tokenizer are what its files say. Where they say nothing, its tokens of a
    pair decide, because some classes of transformers 5 (ALBERT's) no longer name the segments.
    """
    if getattr(config, "type_vocab_size", 0) < 2:
        return False
    stated = tokenizer.init_kwargs.get("model_input_names")
    if stated or config.model_type not in ARCHS:
        return "token_type_ids" in (stated or tokenizer.model_input_names)
    return any(tokenizer("a", "a", return_token_type_ids=True)["token_type_ids"])


def _pack(
    frame: "pd.DataFrame", task: Task, tokenizer: Any, max_length: int, typed: bool
) -> tuple[dict[str, Tensor], Tensor, int]:
    names = ["input_ids", "token_type_ids"] if typed else ["input_ids"]
    encoded: dict[str, list[list[int]]] = {name: [] for name in names}
    for first in range(0, len(frame), _AT_ONCE):
        rows = frame[first : first + _AT_ONCE]
        found = tokenizer(
            *(rows[column].tolist() for column in ("sentence1", "sentence2")[: len(task.columns)]),
            truncation="longest_first",
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=typed,
        )
        for name in names:
            encoded[name] += found[name]
    lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
    full = int((lengths == max_length).sum())
    packed = {
        name: torch.tensor([i for row in encoded[name] for i in row], dtype=torch.int32)
        for name in names
    }
    packed["offsets"] = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    packed["labels"] = labels_tensor(frame["label"].tolist(), task)
    packed["ids"] = torch.tensor(frame["id"].tolist(), dtype=torch.int64)
    if MADE_OF in frame:
        packed[MADE_OF] = torch.tensor(frame[MADE_OF].tolist(), dtype=torch.int64)
    return packed, lengths, full


def labels_tensor(rows: list[Any], task: Task) -> Tensor:
    """The labels of a split as `Split` has them, from those of its text."""
    return _LABELS[task.kind](rows, task)


def _of_sets(rows: list[Any], task: Task) -> Tensor:
    """(n, C) of 0 and 1, from the numbers of the labels of each example."""
    found = torch.zeros(len(rows), task.outputs, dtype=torch.uint8)
    for row, chosen in enumerate(rows):
        found[row, list(chosen)] = 1
    return found


_LABELS: dict[Kind, Callable[[list[Any], Task], Tensor]] = {
    CLASSES: lambda rows, task: torch.tensor(rows, dtype=torch.int64),
    SCORES: lambda rows, task: torch.tensor(rows, dtype=torch.float32),
    LABELS: _of_sets,
}


def load_split(folder: Path, split: str) -> Split:
    """Open one packed split, memory-mapped.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / f"{split}.safetensors"
    try:
        tensors = load_file(path)
        offsets, labels, ids = (tensors.pop(name) for name in ("offsets", "labels", "ids"))
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path}: missing or damaged ({error}); delete {folder}") from None
    made_of = tensors.pop(MADE_OF, None)
    padding = read_json(folder / "manifest.json")["padding"]
    return Split(tensors, offsets, labels, ids, padding, made_of)
