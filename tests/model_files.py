"""Files of model folders, written by hand: no torch, no transformers."""

import json
from math import prod
from pathlib import Path


def write_tensors(path: Path, shapes: dict[str, tuple[int, ...]], fill: bytes = b"\0") -> None:
    """A safetensors file of these fp32 tensors, every byte of which is `fill`."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * prod(shape)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + fill * end)


def write_encoder(folder: Path, words: list[str] | None = None, **config: object) -> Path:
    """A model folder of 2L-16-2h-32 that agrees with itself; `words` follow [PAD]."""
    folder.mkdir(parents=True)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", *(words or ["a", "b", "c"])])}
    content = {
        "model_type": "bert",
        "num_hidden_layers": 2,
        "hidden_size": 16,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": len(vocabulary),
        "max_position_embeddings": 128,
        **config,
    }
    (folder / "config.json").write_text(json.dumps(content))
    tokenizer = {"model": {"type": "WordPiece", "vocab": vocabulary}, "added_tokens": []}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[PAD]"}))
    write_tensors(folder / "model.safetensors", encoder_shapes(len(vocabulary)))
    return folder


def encoder_shapes(vocabulary: int, layers: int = 2) -> dict[str, tuple[int, ...]]:
    """Some tensors of `write_encoder`: those that are compared with config.json."""
    return {
        "bert.embeddings.word_embeddings.weight": (vocabulary, 16),
        "bert.embeddings.position_embeddings.weight": (128, 16),
        **{f"bert.encoder.layer.{i}.attention.self.query.weight": (16, 16) for i in range(layers)},
        "classifier.weight": (2, 16),
    }


def edit(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; None removes one."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
