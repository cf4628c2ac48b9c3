"""Which output of a fine-tuned model is which label of its task, from the names in its config.

Names that are the labels themselves come first. Otherwise case, blanks, dashes and underscores in a
name do not matter, the table of tasks has synonyms, and LABEL_2 and 2 mean label 2 of the official
order. If a name is not known, the study must give the order.
"""

import re
from collections.abc import Sequence

from kd.axes.kinds import CLASSES, LABELS, SCORES
from kd.axes.tasks import Task
from kd.runtime.errors import UserError, listing

_GENERIC = re.compile(r"(label)?\d+")


def label_order(names: Sequence[object], task: Task) -> tuple[int, ...] | None:
    """(n,) for each official label, the model's output for it; None: the names do not say.

    Args:
        names: what the model calls its outputs, in their order.
        task: a classification.
    """
    exact = [str(name).strip() for name in names]
    if sorted(exact) == sorted(task.labels):
        return tuple(map(exact.index, task.labels))
    meaning = [_official(name, task) for name in names]
    labels = range(task.outputs)
    if len(meaning) != task.outputs or not all(label in meaning for label in labels):
        return None
    return tuple(meaning.index(label) for label in labels)


def _official(name: object, task: Task) -> int | None:
    """The official label that a name stands for."""
    key = _key(name)
    for label, official in enumerate(task.labels):
        others = task.names[label] if task.names else ()
        if key in (f"label{label}", str(label), *map(_key, (official, *others))):
            return label
    return None


def contradiction(names: Sequence[object], numbers: object, task: Task) -> str:
    """Where label2id gives a name another output than id2label does; '' where they agree.

    Args:
        names: what id2label calls the outputs, in their order.
        numbers: label2id, {name: output}. LABEL_2 and the like are defaults, and say nothing.
        task: a classification.
    """
    for name, output in numbers.items() if isinstance(numbers, dict) else ():
        label = None if _GENERIC.fullmatch(_key(name)) else _official(name, task)
        if label is None or not str(output).isdecimal() or int(output) >= len(names):
            continue
        if _official(names[int(output)], task) != label:
            return (
                f"label2id: found {name} for output {output}, which id2label calls "
                f"{names[int(output)]}"
            )
    return ""


def _key(name: object) -> str:
    return re.sub(r"[\W_]+", "", str(name).casefold())


def stated_order(names: Sequence[object], task: Task) -> tuple[int, ...]:
    """`label_order` of what the study says.

    Raises:
        UserError: the task has no labels, or these are not all of them.
    """
    if task.kind is SCORES:
        raise UserError(f"it would change nothing: {task.title} has no labels, but a score")
    if (order := label_order(names, task)) is None:
        raise UserError(
            f"found {listing(names)}, allowed: each label of {task.title} once, in the order of "
            f"the model's outputs: {_allowed(task)}"
        )
    return order


def other_kind(problem_type: object, task: Task) -> str:
    """Why a fine-tuned model cannot teach a task, where its config says that its outputs are of
    another kind: of one softmax, or of a sigmoid each; '' where it says nothing, or the same."""
    given = [kind for kind in (CLASSES, LABELS) if kind.problem_type == problem_type]
    if given and task.kind in (CLASSES, LABELS) and task.kind is not given[0]:
        return (
            f"problem_type: found {problem_type}, but {task.title} is {task.kind.phrase}, allowed: "
            f"{task.kind.problem_type}"
        )
    return ""


def unknown_names(where: str, names: Sequence[object], task: Task) -> UserError:
    """The error for a model whose names do not say the order."""
    named = zip(task.labels, task.names or [()] * task.outputs, strict=True)
    words = [others[0] if others else label for label, others in named]
    meaning = listing(
        f"output {i} ({name}) is {word}"
        for i, (name, word) in enumerate(zip(names, words, strict=False))
    )
    return UserError(
        f"{where}: id2label: found {listing(names)}, which do not say which output is which label "
        f"of {task.title}; give the teacher the key labels with the labels of {task.title} in the "
        f"order of the model's outputs: write `labels: [{listing(words)}]` if {meaning}, else "
        f"another order; allowed: {_allowed(task)}"
    )


def _allowed(task: Task) -> str:
    """The official labels, each with its first synonym."""
    named = zip(task.labels, task.names or [()] * task.outputs, strict=True)
    return listing(f"{label} (or {other[0]})" if other else label for label, other in named)
