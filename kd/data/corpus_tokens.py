"""The tokens of a corpus, packed into sequences of one length without padding, memory-mapped.

Lines of a document follow each other without a mark, and documents are separated by the tokenizer's
separator (RoBERTa's full sentences, arXiv:1907.11692, section 4.2). Each sequence has the special
tokens at its ends. A line goes to the held-out slice by a hash of its text, so that repeated lines
are on one side.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash

from kd.data.corpus import MANIFEST, TOKENS
from kd.data.corpus_text import END
from kd.data.tokens import Split
from kd.runtime.errors import UserError
from kd.runtime.files import atomic_dir
from kd.runtime.hashes import file_digest
from kd.runtime.provenance import tokenizer_fingerprint
from kd.runtime.seals import read_record, write_record

TRAIN, HELD_OUT = "train", "held-out"
_AT_ONCE = 1000  # texts a call of the tokenizer
_LETTERS = 1_000_000  # after which a call has no further text; it takes about 100 bytes for each
_DTYPE = np.dtype("<i4")
_HASHES = 2**64


class Frame(NamedTuple):
    """The special tokens of a tokenizer: those at the ends of a sequence, and between documents."""

    before: list[int]
    after: list[int]
    between: list[int]


def frame_of(tokenizer: Any) -> Frame:
    """The frame that the tokenizer puts around a single text."""
    inside = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    place = next(i for i in range(len(whole)) if whole[i : i + len(inside)] == inside)
    separator = tokenizer.sep_token_id if tokenizer.sep_token_id is not None else None
    between = [separator] if separator is not None else []
    return Frame(whole[:place], whole[place + len(inside) :], between)


def pack(
    texts: Iterable[str | None],
    tokenizer: Any,
    config: Any,
    max_length: int,
    held_out: float,
    out: Path,
    advance: Callable[[], None],
) -> None:
    """Write the packed tokens of a corpus below `out`, with the encoder's config and tokenizer.

    Args:
        texts: as `corpus_text.corpus_texts` yields them.
        tokenizer: of the encoder.
        config: of the encoder.
        max_length: tokens of a sequence, special ones included.
        held_out: share of the texts that are held out.
        out: the folder.
        advance: called after every call of the tokenizer.

    Raises:
        UserError: too little text for one sequence, or for the held-out slice; an id that the
            model has no embedding for; a tokenizer without a token for masks.
    """
    if tokenizer.mask_token_id is None:
        raise UserError("the tokenizer has no mask_token, so this encoder cannot have a stage")
    frame, counts = frame_of(tokenizer), {"texts": 0, "documents": 0}
    with atomic_dir(out / TOKENS) as folder:
        files = {side: folder / f"{side}.bin" for side in (TRAIN, HELD_OUT)}
        with files[TRAIN].open("wb") as train, files[HELD_OUT].open("wb") as held:
            packers = {
                side: _Packer(file, frame, max_length)
                for side, file in ((TRAIN, train), (HELD_OUT, held))
            }
            for batch in _batches(texts):
                _add(batch, tokenizer, held_out, packers, counts)
                advance()
        top = max(packer.top for packer in packers.values())
        if top >= config.vocab_size:
            raise UserError(
                f"the tokenizer gives the id {top}, but the teacher's vocabulary has "
                f"{config.vocab_size} entries: they do not belong together"
            )
        _check_sizes(packers, max_length, held_out)
        digest = file_digest(*files.values())
    config.save_pretrained(out)
    tokenizer.save_pretrained(out)
    write_record(
        out / MANIFEST,
        {
            **counts,
            "sequences": packers[TRAIN].sequences,
            "held_out_sequences": packers[HELD_OUT].sequences,
            "tokens": packers[TRAIN].sequences * max_length,
            "dropped_tokens": {side: packer.waiting for side, packer in packers.items()},
            "max_length": max_length,
            "padding": tokenizer.pad_token_id,
            "mask": tokenizer.mask_token_id,
            "special": sorted(set(tokenizer.all_special_ids)),
            "vocabulary": len(tokenizer),
            "fingerprint": digest,
            "tokenizer_fingerprint": tokenizer_fingerprint(out),
        },
    )


def _batches(texts: Iterable[str | None]) -> Iterator[list[str | None]]:
    batch, letters = list[str | None](), 0
    for text in texts:
        batch.append(text)
        letters += len(text or "")
        if len(batch) == _AT_ONCE or letters >= _LETTERS:
            yield batch
            batch, letters = [], 0
    if batch:
        yield batch


class _Packer:
    """Cuts a stream of tokens into sequences and writes them; what is left over is dropped."""

    def __init__(self, file: Any, frame: Frame, max_length: int) -> None:
        self.file, self.frame = file, frame
        self.room = max_length - len(frame.before) - len(frame.after)
        self.sequences = self.top = 0
        self._tokens: list[int] = []
        self.ended = True  # nothing since the last separator

    @property
    def waiting(self) -> int:
        """Tokens that fill no sequence yet."""
        return len(self._tokens)

    def add(self, ids: list[int]) -> None:
        """The tokens of a text."""
        self._tokens += ids
        self.ended = False
        self.top = max([self.top, *ids])
        self._write()

    def end(self) -> None:
        """The document ends."""
        if not self.ended:
            self._tokens += self.frame.between
            self.ended = True
            self._write()

    def _write(self) -> None:
        whole = len(self._tokens) // self.room
        if not whole:
            return
        inside = np.array(self._tokens[: whole * self.room], _DTYPE).reshape(whole, self.room)
        ends = [np.tile(np.array(ids, _DTYPE), (whole, 1)) for ids in self.frame[:2]]
        self.file.write(np.hstack([ends[0], inside, ends[1]]).astype(_DTYPE).tobytes())
        self._tokens = self._tokens[whole * self.room :]
        self.sequences += whole


def _add(
    batch: list[str | None],
    tokenizer: Any,
    held_out: float,
    packers: dict[str, _Packer],
    counts: dict[str, int],
) -> None:
    """Add some texts, and ends of documents, to the packers."""
    texts = [text for text in batch if text is not END]
    encoded: Iterator[list[int]] = iter(
        tokenizer(
            texts,
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        if texts
        else ()
    )
    counts["texts"] += len(texts)
    for text in batch:
        if text is END:
            counts["documents"] += any(not packer.ended for packer in packers.values())
            for packer in packers.values():
                packer.end()
        else:
            side = HELD_OUT if is_held_out(text, held_out) else TRAIN
            packers[side].add(next(encoded))


def is_held_out(text: str, share: float) -> bool:
    """Whether a text belongs to the held-out slice."""
    return xxhash.xxh3_64_intdigest(text.encode()) < share * _HASHES


def _check_sizes(packers: dict[str, _Packer], max_length: int, held_out: float) -> None:
    for side, packer in packers.items():
        if not packer.sequences:
            cure = f" of {held_out:g} of it; raise corpus.held_out" if side == HELD_OUT else ""
            raise UserError(
                f"the corpus has {packer.waiting} tokens for the {side} sequences, fewer than one "
                f"of max_length {max_length}{cure}"
            )


def manifest_of(out: Path) -> dict[str, Any]:
    """What is known of packed tokens.

    Raises:
        UserError: they are missing or damaged.
    """
    return read_record(out / MANIFEST, "fingerprint", "sequences", "held_out_sequences", "mask")


def has_tokens(out: Path) -> bool:
    """Whether the arrays are there, or were removed (`kd free`)."""
    return (out / TOKENS).is_dir()


def load_corpus(out: Path, side: str, most: int | None = None) -> Split:
    """The train or held-out sequences as a split of equal examples, memory-mapped; the first `most`
    of them. Labels are 0 and mean nothing.

    Raises:
        UserError: a file is missing or not whole.
    """
    manifest = manifest_of(out)
    path, length = out / TOKENS / f"{side}.bin", manifest["max_length"]
    count = manifest["sequences" if side == TRAIN else "held_out_sequences"]
    size = path.stat().st_size if path.is_file() else 0
    if size != count * length * _DTYPE.itemsize:
        raise UserError(
            f"{path}: missing or damaged: {size} bytes for {count} sequences; delete {out} to have "
            f"it made again"
        )
    flat = torch.from_numpy(np.memmap(path, _DTYPE, mode="c", shape=(count * length,)))
    count = min(count, most or count)
    offsets = torch.arange(count + 1) * length
    return Split(
        {"input_ids": flat},
        offsets,
        torch.zeros(1, dtype=torch.int64).expand(count),
        torch.arange(count),
        manifest["padding"],
    )


def check_whole(out: Path) -> None:
    """Check that the arrays are those that were written.

    Raises:
        UserError: they are not.
    """
    files = [out / TOKENS / f"{side}.bin" for side in (TRAIN, HELD_OUT)]
    if file_digest(*files) != manifest_of(out)["fingerprint"]:
        raise UserError(
            f"{out / TOKENS}: not as it was written; delete {out} to have it made again"
        )
