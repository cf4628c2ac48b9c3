"""A word-level tokenizer, and texts as `data.text.prepare` leaves them."""

from pathlib import Path

import pandas as pd
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from kd.axes.kinds import SCORES
from kd.axes.tasks import TASKS
from kd.runtime.files import write_json

WORDS = ["alpha", "beta", "gamma", "delta"]


MAX_LENGTH = 12


def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with BERT's outputs, or with RoBERTa's: no types, padding 1."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if kind == "roberta":
        special[:2] = ["[UNK]", "[PAD]"]
    ids = {word: index for index, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, ids[name]) for name in ("[CLS]", "[SEP]")],
    )
    names = ["input_ids", "attention_mask"]
    if kind == "bert":
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_input_names=names,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def sentences(count: int, longest: int, seed: int) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [
        " ".join(WORDS[i] for i in torch.randint(4, (n,), generator=generator)) for n in lengths
    ]


def write_text(folder: Path, task: str, count: int = 9) -> dict[str, pd.DataFrame]:
    """Parquet splits as `data.prepare` leaves them; every row's id differs from its place."""
    folder.mkdir()
    row, frames = TASKS[task], {}
    for seed, split in enumerate(row.splits):
        pair = len(row.columns) > 1
        frames[split] = pd.DataFrame(
            {
                "id": range(100, 100 + count),
                "sentence1": sentences(count, 8, seed),
                "sentence2": sentences(count, 8, seed + 10) if pair else [None] * count,
                "label": [i * 0.5 if row.kind is SCORES else i % row.outputs for i in range(count)],
            }
        )
        frames[split].to_parquet(folder / f"{split}.parquet", index=False)
    write_json(folder / "manifest.json", {"task": task, "fingerprint": "text"})
    return frames
