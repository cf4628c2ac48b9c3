"""Tiny encoders and batches that the tests of the library share."""

import shutil
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import constants
from torch import Tensor
from transformers import AutoConfig, PreTrainedModel

from kd.axes.pretrained import SCRATCH
from kd.axes.shapes import Shape
from kd.encoders.build import build_random, shaped_config
from kd.encoders.facts import encoder
from kd.encoders.tokenizer import encoder_tokenizer

ARCHS = ("bert", "roberta", "distilbert", "electra")
EVERY_ARCH = (*ARCHS, "albert", "modernbert")
SHAPE = Shape(layers=3, hidden=24, heads=3, ffn=40)
VOCABULARY = 60

torch.set_num_threads(1)


def tiny_config(arch: str = "bert", shape: Shape = SHAPE, labels: int = 2, **more: Any) -> Any:
    """A config of `arch` small enough to build in milliseconds; ELECTRA and ALBERT keep a width
    of their own, DeBERTa and MPNet have the relative positions of the published models."""
    config = shaped_config(AutoConfig.for_model(arch), shape)
    config.vocab_size, config.max_position_embeddings = VOCABULARY, 48
    config.num_labels = labels
    if arch in ("electra", "albert"):
        config.embedding_size = 16
    if arch == "modernbert":
        config.pad_token_id = 0
    if arch.startswith("deberta"):
        config.relative_attention, config.pos_att_type = True, ["c2p", "p2c"]
    for name, value in more.items():
        setattr(config, name, value)
    return config


def tiny_model(
    arch: str = "bert", shape: Shape = SHAPE, seed: int = 0, spread: float = 0.2, **more: Any
) -> PreTrainedModel:
    """A random model; `spread` is large, so that attention is far from uniform."""
    torch.manual_seed(seed)
    model = build_random(tiny_config(arch, shape, initializer_range=spread, **more))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):  # they start at 0: a bias that is lost would not be seen
                parameter.normal_(0, spread)
    return model


def tiny_inputs(
    model: PreTrainedModel, lengths: tuple[int, ...] = (7, 3, 5), seed: int = 0
) -> dict[str, Tensor]:
    """A ragged batch of random ids, padded as the encoder's tokenizer would pad."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.randint(5, VOCABULARY, mask.shape, generator=generator)
    return {
        "input_ids": ids.masked_fill(~mask, model.config.pad_token_id),
        "attention_mask": mask.long(),
    }


def save_encoder(folder: Path, arch: str) -> Path:
    """A tiny local encoder with a word-level tokenizer, as a user would have it."""
    made = encoder(SCRATCH, "main", "3L-32-2h-64", "bert")
    tokenizer = encoder_tokenizer(made)
    model = tiny_model(arch, made.shape, vocab_size=len(tokenizer), max_position_embeddings=130)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def in_the_hubs_cache(folder: Path, place: Path, monkeypatch: Any) -> str:
    """Make a model folder the hub's `org/name`, downloaded before, with the network away; its
    commit."""
    commit = "0123456789" * 4
    cache = place / "hub/models--org--name"
    shutil.copytree(folder, cache / "snapshots" / commit)
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return commit
