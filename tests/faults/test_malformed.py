"""Malformed studies, TSV files and model folders: one sentence, or a study that is valid."""

import copy
import json
import os
import random
import shutil
from pathlib import Path

import pytest
import yaml
from faults import TIMES
from helpers import save_encoder
from studies import tiny_study, write_study

from kd.data.tsv import check_tsv
from kd.encoders.build import load_weights
from kd.encoders.facts import encoder
from kd.monitor.plan import plan
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import Layout

COUNT = 15 * TIMES  # of each kind: 300 in a full campaign

ODD = [
    *(None, True, -1, 0, 1.5, float("nan"), float("inf"), 10**30, "", " ", "no such", "../../x"),
    *(
        [],
        {},
        [[]],
        [None],
        {"a": {"b": []}},
        "\0",
        "é" * 300,
        "logits*-1",
        "$(id)",
        "%%",
        "@",
        "+",
    ),
    *("6L-0", "99999999L-1", "logits+", "hidden:mse@", "1..", "0..1%50-20", 10**400, b"bytes", "@"),
]


def mutated(study: dict[str, object], draw: random.Random) -> dict[str, object]:
    """One to three places of a study with something odd in them."""
    study = copy.deepcopy(study)
    for _ in range(draw.randint(1, 3)):
        node: object = study
        while isinstance(node, dict | list) and node:
            key = draw.choice(list(node) if isinstance(node, dict) else range(len(node)))
            value = node[key]  # type: ignore[index]
            if not (isinstance(value, dict | list) and value) or draw.random() < 0.2:
                act = draw.randrange(4)
                if act == 0:
                    del node[key]  # type: ignore[attr-defined]
                elif act == 1 and isinstance(node, dict):
                    node[str(key) + "x"] = node.pop(key)
                else:
                    node[key] = draw.choice(ODD)  # type: ignore[index]
                break
            node = value
    return study


def outcome(path: Path, results: Path) -> str:
    """Plan a study: 'accepted', or the sentences that refuse it."""
    try:
        grid = load_grid(path)
        check_inputs(grid)
        plan(grid, Layout(results))
    except UserError as error:
        text = str(error)
        for sentence in text.split("\n  "):  # a line each
            assert sentence.strip() and "\n" not in sentence and len(sentence) < 2000, text
        return text
    return "accepted"


def test_malformed_studies(tmp_path):
    refused = 0
    for number in range(COUNT):
        draw = random.Random(number)
        study = mutated(tiny_study(), draw)
        try:
            path = write_study(tmp_path, study)
            if draw.random() < 0.3:  # harm to the text itself
                text = bytearray(path.read_bytes())
                text[draw.randrange(len(text))] = draw.randrange(256)
                path.write_bytes(bytes(text))
            refused += outcome(path, tmp_path / "results") != "accepted"
        except Exception as error:
            raise AssertionError(f"number {number}: {study}") from error
    assert refused > COUNT // 3, "the studies are not malformed"
    assert not (tmp_path / "results").exists(), "something was written for a study that is refused"


SST2 = "sentence\tlabel\na fine film\t1\na dull one\t0\n" * 1


def test_malformed_tables(tmp_path):
    refused = 0
    folder = tmp_path / "SST-2"
    folder.mkdir()
    for number in range(COUNT):
        draw = random.Random(number)
        for name in ("train.tsv", "dev.tsv"):
            content = bytearray(SST2.encode())
            for _ in range(draw.randint(1, 3)):
                at = draw.randrange(len(content))
                act = draw.randrange(4)
                if act == 0:
                    del content[at:]
                elif act == 1:
                    content[at:at] = draw.choice([b"\t", b"\n", b"\0", b"\xff", b'"', b"\r\n"])
                elif act == 2:
                    content[at] = draw.randrange(256)
                else:
                    del content[at]
                content = content or bytearray(b"\n")
            (folder / name).write_bytes(content)
        try:
            check_tsv(str(tmp_path), "sst2")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and ".tsv" in str(error)
        except Exception as error:
            raise AssertionError(f"number {number}: {bytes(content)!r}") from error
    assert refused > COUNT // 3


def test_malformed_model_folders(tmp_path):
    good = save_encoder(tmp_path / "good", "bert")
    refused = 0
    for number in range(COUNT):
        draw = random.Random(number)
        folder = tmp_path / "model"
        shutil.copytree(good, folder)
        name = draw.choice(["config.json", "config.json", "model.safetensors", "tokenizer.json"])
        path = folder / name
        content = path.read_bytes()
        act = draw.randrange(4)
        if act == 0:
            path.unlink()
        elif act == 1:
            path.write_bytes(content[: draw.randrange(len(content))])
        elif act == 2 and name == "config.json":
            config = json.loads(content)
            config[draw.choice(list(config))] = draw.choice([v for v in ODD if v != b"bytes"])
            path.write_text(json.dumps(config))
        else:
            at = draw.randrange(min(200, len(content)))
            path.write_bytes(content[:at] + os.urandom(1) + content[at + 1 :])
        study = tiny_study(axes={"seed": [1]})
        study["teachers"] = {"given": {"model": str(folder)}}
        study_path = write_study(tmp_path, study)
        try:
            text = outcome(study_path, tmp_path / "results")
            if text == "accepted":
                text = loaded(folder)
            refused += text != "accepted"
        except Exception as error:
            raise AssertionError(f"number {number}: {name}, {act}") from error
        shutil.rmtree(folder)
    assert refused > COUNT // 3


def loaded(folder: Path) -> str:
    """Load a model as a teacher's job does."""
    from kd.encoders.build import encoder_config
    from kd.encoders.tokenizer import encoder_tokenizer

    try:
        made = encoder(str(folder), "main", None, "bert")
        encoder_tokenizer(made)
        load_weights(made, encoder_config(made), "float32")
    except UserError as error:
        assert "\n" not in str(error)
        return str(error)
    return "accepted"


@pytest.mark.parametrize("text", ["*", "a: *b", "&a [*a]", "!!python/object:os.system {}", "? {"])
def test_yaml_that_would_do_something(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    assert outcome(path, tmp_path) != "accepted"
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load("!!python/object/apply:os.system [id]")
