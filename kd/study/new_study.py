"""The text of a first study on a user's own task, for `kd new`."""

import math
import re
from pathlib import Path
from typing import Any

import yaml

from kd.axes.tasks import TASKS
from kd.data.own_tasks import Facts

_TEXT = """\
# A first study on {data}: which knowledge of the teacher helps a smaller student, and how small may
# it be? `kd plan {file}` shows what it would run, `snakemake --configfile {file}` runs it.
# You can change every line. docs/own-data.md and config/README.md explain the keys.
study: {name}
question: Which knowledge of the teacher helps a student on {name}, and how small may it be?
tasks:
  {name}:  # {facts}
{task}
teachers:
  bert-base:
    # An id of the Hugging Face hub, which is downloaded once, or a folder with config.json,
    # tokenizer.json and model.safetensors, such as ../models/my-encoder. It is fine-tuned first.
    model: google-bert/bert-base-uncased
    epochs: {epochs}
base:
  task: {name}
  epochs: {epochs}
  init: teacher-uniform  # every student starts from layers of the fine-tuned teacher
axes:
  # LAYERS-WIDTH. init copies layers, so the width is that of the teacher. Change both together.
  student: [6L-768, 4L-768, 2L-768]
  # Two controls, none (only the labels) and logits. Then the knowledge of the question.
  knowledge: [none, logits, logits+hidden]
  seed: [1, 2, 3]  # with fewer than three seeds nothing is recommended
"""
EPOCHS = 4


def study_text(name: str, file: str, keys: dict[str, Any], facts: Facts) -> str:
    """The text of the study file.

    Args:
        name: name of the study and of its task.
        file: the study file, as it is given to commands.
        keys: keys of the task, as they are written to the file.
        facts: facts about the data of the task.
    """
    body = "\n".join(f"    {key}: {inline(value)}" for key, value in keys.items())
    return _TEXT.format(
        data=keys["train"], file=file, name=inline(name), epochs=EPOCHS, facts=facts_text(facts),
        task=body,
    )  # fmt: skip


def inline(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()[1:-1]


def facts_text(facts: Facts) -> str:
    """Facts about the data, on one line."""
    sizes = ", ".join(f"{count} {split}" for split, count in facts.examples.items())
    labels = len(facts.labels)
    return f"{sizes} examples" + (f", {labels} labels" if labels else ", scores")


def name_of(file: Path) -> str:
    """The name of a study and its task, made from the name of a data file."""
    plain = re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")[:32].strip("-")
    return f"my-{plain}"[:32] if plain in TASKS else plain or "mine"


def guessed(labels: list[str]) -> dict[str, Any]:
    """The keys `regression` and `metrics` that fit these labels, of all splits.

    Labels are scores if they are numbers, and some are not whole or there are many of them. Their
    range ends at whole numbers.
    """
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        numbers = []
    several = len(set(labels))
    if not all(map(math.isfinite, numbers)):  # names such as nan
        numbers = []
    if numbers and (any(n != int(n) for n in numbers) or several > max(20, len(labels) // 10)):
        ends = [math.floor(min(numbers)), math.ceil(max(numbers))]
        return {"regression": ends, "metrics": ["pearson", "spearman"]}
    return {"metrics": ["accuracy", "macro-f1"]}
