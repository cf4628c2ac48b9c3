"""The kinds of tasks: what is asked of each text, and what its config.json says. One row each."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of task. What else depends on it is a table by kind, where it is used."""

    name: str  # in records, and of metrics
    phrase: str  # in messages
    problem_type: str  # in config.json, as transformers has it


CLASSES = Kind("classes", "a classification", "single_label_classification")
SCORES = Kind("scores", "a regression", "regression")
LABELS = Kind("labels", "a multi-label task", "multi_label_classification")
KINDS = {kind.name: kind for kind in (CLASSES, SCORES, LABELS)}
