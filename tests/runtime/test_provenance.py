"""What was really loaded: commits of the hub, tokenizers."""

import json
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
from token_files import make_tokenizer

from kd.runtime.provenance import dataset_commit, model_commit, tokenizer_fingerprint, weights_dtype

COMMIT, OTHER = "0123456789" * 4, "ab" * 20


def dataset(addresses, file=None):
    """A dataset that came from these addresses, and lies in this file of the cache."""
    found = datasets.Dataset.from_dict({"a": [1]})
    found.info.download_checksums = addresses and dict.fromkeys(addresses)
    files = [] if file is None else [{"filename": file}]
    return SimpleNamespace(info=found.info, cache_files=files)


@pytest.mark.parametrize(
    ("addresses", "file", "commit"),
    [
        ([f"hf://datasets/nyu-mll/glue@{COMMIT}/rte/train-00000.parquet"], None, COMMIT),
        ([f"hf://datasets/other/glue@{COMMIT}/rte.parquet"], None, None),
        (["https://dl.fbaipublicfiles.com/glue/data/RTE.zip"], None, None),
        (None, f"/c/nyu-mll___glue/rte/0.0.0/{COMMIT}/glue-train.arrow", COMMIT),
        (None, "/c/nyu-mll___glue/rte/1.0.0/abc/glue-train.arrow", None),
        (None, None, None),
    ],
)
def test_the_commit_of_a_dataset(addresses, file, commit):
    assert dataset_commit(dataset(addresses, file), "nyu-mll/glue") == commit


def test_a_dataset_in_memory_has_no_commit():
    assert dataset_commit(datasets.Dataset.from_dict({"a": [1]}), "nyu-mll/glue") is None


def test_the_commit_of_a_model_is_that_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    folder = tmp_path / "models--some--bert"
    for commit in (COMMIT, OTHER):
        (folder / "snapshots" / commit).mkdir(parents=True)
        (folder / "snapshots" / commit / "config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    assert model_commit("some/bert", "main") == COMMIT
    assert model_commit("some/bert", OTHER) == OTHER
    assert model_commit("some/bert", "v2") is None and model_commit("no/bert", "main") is None
    assert model_commit(str(folder), None) is None


def test_a_tokenizers_fingerprint_is_that_of_its_words_and_rules(tmp_path):
    prints = []
    lower = {"normalizer": {"type": "Lowercase"}}
    for name, length, change in (("a", 8, {}), ("b", 4, {}), ("c", 8, lower)):
        tokenizer = make_tokenizer("bert")
        tokenizer(["alpha beta"], truncation=True, max_length=length)
        tokenizer.save_pretrained(tmp_path / name)
        file = tmp_path / name / "tokenizer.json"
        content = json.loads(file.read_text())
        assert content["truncation"]["max_length"] == length
        file.write_text(json.dumps({**content, **change}))
        prints.append(tokenizer_fingerprint(tmp_path / name))
    assert prints[0] == prints[1] != prints[2] and len(prints[0]) == 16


def test_a_tokenizer_of_several_files(tmp_path):
    for name in ("spm.model", "tokenizer_config.json", "config.json", "train.safetensors"):
        (tmp_path / name).write_text("one")
    first = tokenizer_fingerprint(tmp_path)
    (tmp_path / "train.safetensors").write_text("two")
    assert tokenizer_fingerprint(tmp_path) == first
    (tmp_path / "spm.model").write_text("two")
    assert tokenizer_fingerprint(tmp_path) != first


def test_mixed_dtypes_are_both_named():
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(2, 2).bfloat16(), torch.nn.Linear(2, 2))
    assert weights_dtype(model) == "bfloat16+float32"
