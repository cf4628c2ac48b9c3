"""Words that may take the place of others, as a masked language model says (TinyBERT,
arXiv:1909.10351, section 3.3).

The candidates of a word that is one token are the most probable words in its place, where it is
masked and the rest of the text is as it was. Those of a word of several tokens are the words whose
input embeddings are nearest (cosine) to the mean embedding of its tokens: the original takes GloVe.
Only whole words are candidates, so no part of a word is.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel

from kd.data.augment import is_word, word_spans
from kd.data.masking import PREDICTED
from kd.encoders.build import longest_input
from kd.encoders.masked_lm import predict_masked_alone
from kd.runtime.device import in_batches_that_fit
from kd.runtime.errors import UserError

_BATCH = 64  # masked texts in the model at once


class _Word(NamedTuple):
    """A word: the number of its text and its tokens' places there."""

    text: int
    places: list[int]
    ids: list[int]


class WordCandidates:
    """Finds candidates with a masked language model, which it changes so that it can predict masked
    tokens alone.

    Args:
        model: with its head, in eval mode from here on.
        tokenizer: its own.
        count: candidates of a word.
        device: where the model runs.

    Raises:
        UserError: the tokenizer has no mask, is a slow one, or has no whole words.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, count: int, device: torch.device
    ) -> None:
        if tokenizer.mask_token_id is None or not tokenizer.is_fast:
            raise UserError("augmentation needs a fast tokenizer with a mask_token")
        predict_masked_alone(model)
        self.model = model.to(device).eval()  # type: ignore[arg-type]
        self.tokenizer, self.device = tokenizer, device
        self.ids, self.words = whole_words(tokenizer)
        if not self.words:
            raise UserError("augmentation: the vocabulary of the model has no whole words")
        self.count = min(count, len(self.words))
        table = model.get_input_embeddings().weight.detach().float()  # type: ignore[operator]
        self._table = table
        self._whole = F.normalize(table[self.ids.to(table.device)], dim=-1)
        self._near: dict[tuple[int, ...], list[str]] = {}

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[list[list[str]]]:
        """The candidates of each word (`word_spans`) of each text; none of a word that is beyond
        the longest input of the model."""
        encoded = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=longest_input(self.model.config),
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows: list[list[int]] = encoded["input_ids"]
        words = [
            _Word(number, places, [rows[number][place] for place in places])
            for number, text in enumerate(texts)
            for places in _places(text, encoded["offset_mapping"][number])
        ]
        single = [i for i, word in enumerate(words) if len(word.places) == 1]
        single.sort(key=lambda i: len(rows[words[i].text]))
        likely = in_batches_that_fit(
            partial(self._all_likely, [words[i] for i in single], rows),
            _BATCH,
            self.device,
            "masked",
        )
        found = dict(zip(single, likely, strict=True))
        by_text: list[list[list[str]]] = [[] for _ in texts]
        for i, word in enumerate(words):
            options = found[i] if i in found else self._nearest(word.ids) if word.ids else []
            by_text[word.text].append(options)
        return by_text

    def _all_likely(
        self, words: Sequence[_Word], rows: list[list[int]], size: int
    ) -> list[list[str]]:
        """`_likely` of all these words, `size` texts at a time."""
        batches = [words[first : first + size] for first in range(0, len(words), size)]
        return [best for batch in batches for best in self._likely(batch, rows)]

    def _likely(self, words: Sequence[_Word], rows: list[list[int]]) -> list[list[str]]:
        """The most probable words in the place of each of these, in its text."""
        lengths = torch.tensor([len(rows[word.text]) for word in words])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.full(mask.shape, self.tokenizer.pad_token_id)
        asked = torch.zeros_like(mask)
        for row, word in enumerate(words):
            ids[row, : lengths[row]] = torch.tensor(rows[word.text])
            ids[row, word.places[0]] = self.tokenizer.mask_token_id
            asked[row, word.places[0]] = True
        inputs = {"input_ids": ids, "attention_mask": mask.long(), PREDICTED: asked}
        logits = self.model(**{name: value.to(self.device) for name, value in inputs.items()})
        return self._best(logits.logits.float()[:, self.ids.to(self.device)])

    def _nearest(self, ids: list[int]) -> list[str]:
        """The words whose embeddings are nearest to the mean of those of these tokens."""
        key = tuple(ids)
        if key not in self._near:
            mean = F.normalize(self._table[ids].mean(0), dim=-1)
            (self._near[key],) = self._best((self._whole @ mean)[None])
        return self._near[key]

    def _best(self, scores: Tensor) -> list[list[str]]:
        """The words with the highest of some scores (n, words)."""
        best = scores.topk(self.count).indices.tolist()
        return [[self.words[i] for i in row] for row in best]


def _places(text: str, offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The places of the tokens of each word of a text; [] where they are cut off."""
    spans = word_spans(text)
    found: list[list[int]] = [[] for _ in spans]
    word = 0
    for place, (start, end) in enumerate(offsets):
        while word < len(spans) and spans[word][1] <= start:
            word += 1
        if word < len(spans) and start < end and end > spans[word][0]:
            found[word].append(place)
    if found and offsets:
        last = max(end for _, end in offsets)
        found = [p if spans[i][1] <= last else [] for i, p in enumerate(found)]
    return found


def whole_words(tokenizer: Any) -> tuple[Tensor, list[str]]:
    """The ids and texts of the tokens that are a whole word, as the tokenizer itself would give it
    behind another word."""
    names = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    able = [(i, name.strip()) for i, name in enumerate(names) if is_word(name.strip())]
    before = len(tokenizer("a", add_special_tokens=False)["input_ids"])
    encoded = (
        tokenizer([f"a {name}" for _, name in able], add_special_tokens=False)["input_ids"]
        if able
        else []
    )
    whole = [
        (i, name)
        for (i, name), ids in zip(able, encoded, strict=True)
        if len(ids) == before + 1 and ids[-1] == i
    ]
    return torch.tensor([i for i, _ in whole], dtype=torch.int64), [name for _, name in whole]
