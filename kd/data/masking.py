"""Masks tokens as BERT's pretraining does (Devlin et al. 2019, arXiv:1810.04805, section 3.1)."""

from collections.abc import Sequence

import torch
from torch import Tensor

PREDICTED = "predicted"  # in a batch: (B, L) bool, the tokens whose words are asked for
_AS_MASK, _AS_RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stay as they are


def mask_tokens(
    batch: dict[str, Tensor],
    share: float,
    mask: int,
    special: Sequence[int],
    vocabulary: int,
    seed: int,
) -> dict[str, Tensor]:
    """A batch with a share of its tokens masked.

    Args:
        batch: `input_ids` and `attention_mask`, (B, L), and what else an encoder reads.
        share: of the tokens; at least one is chosen.
        mask: id of the mask.
        special: ids that are never chosen.
        vocabulary: number of words, of which a random one is drawn.
        seed: decides all of it.

    Returns:
        The batch with other `input_ids`; `predicted` (B, L) bool, the chosen tokens; `labels`
        (chosen,) their ids, row by row.
    """
    ids, generator = batch["input_ids"], torch.Generator().manual_seed(seed)
    able = batch["attention_mask"].bool() & ~torch.isin(ids, torch.tensor(special))
    draw = torch.rand(ids.shape, generator=generator)
    chosen = able & (draw < share)
    if not chosen.any():
        first = draw.masked_fill(~able, 2).argmin()
        chosen = torch.zeros_like(able).view(-1).index_fill(0, first, True).view_as(able)
    how = torch.rand(ids.shape, generator=generator)
    words = torch.randint(vocabulary, ids.shape, generator=generator)
    masked = torch.where(chosen & (how < _AS_MASK), mask, ids)
    randomised = chosen & (how >= _AS_MASK) & (how < _AS_MASK + _AS_RANDOM)
    masked = torch.where(randomised, words, masked)
    return {**batch, "input_ids": masked, PREDICTED: chosen, "labels": ids[chosen]}
