"""Pretrained encoders of the Hugging Face hub whose shape is known without the network.

Of other hub models config.json is fetched (`kd.encoders.hub_config`), unless the study gives their
`shape` and `arch`.
"""

from typing import NamedTuple

from kd.axes.shapes import Shape

SCRATCH = "scratch"  # stands in place of a model for an encoder with random weights


class HubEncoder(NamedTuple):
    """Facts from the config.json of a hub model. `positions` is its longest input in tokens."""

    arch: str
    shape: Shape
    vocabulary: int
    positions: int = 512
    sentencepiece: bool = False  # its vocabulary is a SentencePiece model, without tokenizer.json


def _deberta_v3(shape: Shape) -> HubEncoder:
    return HubEncoder("deberta-v2", shape, 128100, sentencepiece=True)


_BERT = 30522
HUB_ENCODERS: dict[str, HubEncoder] = {
    "google-bert/bert-base-uncased": HubEncoder("bert", Shape(12, 768, 12, 3072), _BERT),
    "google-bert/bert-base-cased": HubEncoder("bert", Shape(12, 768, 12, 3072), 28996),
    "google-bert/bert-large-uncased": HubEncoder("bert", Shape(24, 1024, 16, 4096), _BERT),
    "google-bert/bert-large-cased": HubEncoder("bert", Shape(24, 1024, 16, 4096), 28996),
    "FacebookAI/roberta-base": HubEncoder("roberta", Shape(12, 768, 12, 3072), 50265),
    "FacebookAI/roberta-large": HubEncoder("roberta", Shape(24, 1024, 16, 4096), 50265),
    "distilbert/distilbert-base-uncased": HubEncoder("distilbert", Shape(6, 768, 12, 3072), _BERT),
    "distilbert/distilroberta-base": HubEncoder("roberta", Shape(6, 768, 12, 3072), 50265),
    "google/electra-small-discriminator": HubEncoder("electra", Shape(12, 256, 4, 1024), _BERT),
    "google/electra-base-discriminator": HubEncoder("electra", Shape(12, 768, 12, 3072), _BERT),
    "google/electra-large-discriminator": HubEncoder("electra", Shape(24, 1024, 16, 4096), _BERT),
    "FacebookAI/xlm-roberta-base": HubEncoder("xlm-roberta", Shape(12, 768, 12, 3072), 250002),
    "albert/albert-base-v2": HubEncoder("albert", Shape(12, 768, 12, 3072), 30000),
    "albert/albert-large-v2": HubEncoder("albert", Shape(24, 1024, 16, 4096), 30000),
    "answerdotai/ModernBERT-base": HubEncoder(
        "modernbert", Shape(22, 768, 12, 1152), 50368, positions=8192
    ),
    "answerdotai/ModernBERT-large": HubEncoder(
        "modernbert", Shape(28, 1024, 16, 2624), 50368, positions=8192
    ),
    "microsoft/deberta-v3-xsmall": _deberta_v3(Shape(12, 384, 6, 1536)),
    "microsoft/deberta-v3-small": _deberta_v3(Shape(6, 768, 12, 3072)),
    "microsoft/deberta-v3-base": _deberta_v3(Shape(12, 768, 12, 3072)),
    "microsoft/mpnet-base": HubEncoder("mpnet", Shape(12, 768, 12, 3072), 30527),
    "microsoft/MiniLM-L12-H384-uncased": HubEncoder("bert", Shape(12, 384, 12, 1536), _BERT),
    "nreimers/MiniLM-L6-H384-uncased": HubEncoder("bert", Shape(6, 384, 12, 1536), _BERT),
    "sentence-transformers/all-MiniLM-L6-v2": HubEncoder("bert", Shape(6, 384, 12, 1536), _BERT),
    **{
        f"google/bert_uncased_L-{layers}_H-{hidden}_A-{hidden // 64}": HubEncoder(
            "bert",
            Shape(layers, hidden, hidden // 64, 4 * hidden),
            _BERT,
        )
        for layers in (2, 4, 6, 8, 10, 12)
        for hidden in (128, 256, 512, 768)
    },
}
