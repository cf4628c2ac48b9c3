"""Small study files for tests."""

import json
from pathlib import Path
from typing import Any

import yaml

from kd.cli.main import main

SYNTHETIC = {"source": "synthetic", "train": 96, "dev": 64}


def study_dict(**changes: Any) -> dict[str, Any]:
    """A valid study over the hub's GLUE; a change to None removes the key."""
    study = {
        "study": "test",
        "data": {"source": "hub"},
        "teachers": {"bert-base": {"model": "google-bert/bert-base-uncased"}},
        "base": {"student": "6L-768", "knowledge": "logits+hidden", "task": "rte"},
        "axes": {"mapping": ["first", "last"], "seed": [1, 2]},
    }
    study |= changes
    return {key: value for key, value in study.items() if value is not None}


def tiny_study(**changes: Any) -> dict[str, Any]:
    """A synthetic study that trains in seconds."""
    recipe = {"epochs": 1, "learning_rate": 1e-3}
    return study_dict(
        **{
            "data": SYNTHETIC,
            "teachers": {"deep": {"model": "scratch", "shape": "3L-32-2h-64", **recipe}},
            "base": {
                "student": "2L-16-2h-32",
                "knowledge": "logits+hidden",
                "task": "toy-single",
                **recipe,
            },
            **changes,
        }
    )


def write_study(folder: Path, study: dict[str, Any], name: str = "study.yaml") -> Path:
    """Write a study as YAML and return its path."""
    path = folder / name
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def json_of(capsys: Any, *arguments: Any) -> Any:
    """What a command prints with `--json`."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)
