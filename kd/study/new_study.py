"""The text of a first study on a task of the user's own: what `kd new` writes."""

import re
from pathlib import Path
from typing import Any

import yaml

from kd.data.own_tasks import Facts

_TEXT = """\
# A first study on {data}: which knowledge of the teacher helps a smaller student, and how small may
# it be? `kd plan {file}` shows what it would run, `snakemake --configfile {file}` runs it.
# Every line can be changed; what each key means is in docs/own-data.md and config/README.md.
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
  # LAYERS-WIDTH. The width is the teacher's, as init copies its layers: change both for another.
  student: [6L-768, 4L-768, 2L-768]
  # Two controls: none (the labels alone) and logits. Then what the question is about.
  knowledge: [none, logits, logits+hidden]
  seed: [1, 2, 3]  # with fewer than three, nothing is recommended
"""
EPOCHS = 4


def study_text(name: str, file: str, keys: dict[str, Any], facts: Facts) -> str:
    """The study file, for a task of these keys.

    Args:
        name: of the study and its task.
        file: of the study, as commands name it.
        keys: of the task, as the file will have them.
        facts: what its data say.
    """
    body = "\n".join(f"    {key}: {_inline(value)}" for key, value in keys.items())
    return _TEXT.format(
        data=keys["train"], file=file, name=name, epochs=EPOCHS, facts=facts_text(facts),
        task=body,
    )  # fmt: skip


def _inline(value: Any) -> str:
    """YAML on one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**6).strip()[1:-1]


def facts_text(facts: Facts) -> str:
    """What the data say, in a line."""
    sizes = ", ".join(f"{count} {split}" for split, count in facts.examples.items())
    labels = len(facts.labels)
    return f"{sizes} examples" + (f", {labels} labels" if labels else ", scores")


def name_of(file: Path) -> str:
    """A study's name from that of a data file."""
    plain = re.sub(r"[^a-z0-9]+", "-", file.name.split(".")[0].lower()).strip("-")[:32].strip("-")
    return plain or "mine"


def guessed(labels: list[str]) -> dict[str, Any]:
    """The keys `regression` and `metrics` that fit these labels: scores where they are numbers of
    which some are not whole, or which are many."""
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        numbers = []
    several = len(set(labels))
    if numbers and (any(n != int(n) for n in numbers) or several > max(20, len(labels) // 10)):
        low, high = min(numbers), max(numbers)
        span = [int(v) if v == int(v) else v for v in (low, high)]
        return {"regression": span, "metrics": ["pearson", "spearman"]}
    return {"metrics": ["accuracy", "macro-f1"]}
