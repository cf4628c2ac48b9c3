"""How many examples of a label a held-out slice takes, and whether a task has enough of them."""

from collections.abc import Mapping
from typing import Any

from kd.axes.kinds import LABELS, SCORES, Kind
from kd.axes.tasks import Task
from kd.data.own_tasks import own_facts
from kd.runtime.errors import UserError

STRATA = 10  # groups of a regression's examples, by their score
WHOLE = "a multi-label task"  # its slice need not have each label


def slice_size(examples: int, share: float, who: str = "each label") -> int:
    """The rounded share of so many examples; `who` has them, for the message.

    Raises:
        UserError: none would be in the slice, or none outside of it.
    """
    taken = round(share * examples)
    if not 0 < taken < examples:
        raise UserError(
            f"a share of {share:g} of {examples} example{'s' * (examples != 1)} is {taken}, but "
            f"{who} needs one example at least in the slice and one outside of it"
        )
    return taken


def check_share(task: Task, examples: int, share: float) -> None:
    """Check what can be known of a slice before the data are loaded.

    Args:
        task: as a study knows it.
        examples: in its training split.
        share: of each label that the slice takes; of all examples in a multi-label task.

    Raises:
        UserError: the rarest label of a task of the user's own has too few examples; or a task of
            the tables has too few even if all of its labels are equally frequent; or a multi-label
            task has too few.
    """
    who = "each label"
    if task.kind is LABELS:
        fewest, whose, who = examples, "the examples", WHOLE
    elif task.kind is SCORES:
        fewest, whose = examples // STRATA, "a tenth of the scores"
    else:
        fewest = own_facts(task).rarest if task.source else examples // task.outputs
        whose = "the rarest label"
    try:
        slice_size(fewest, share, who)
    except UserError as error:
        raise UserError(f"of {whose} of task {task.title}, {error}") from None


def drawn_differently(kind: Kind, settings: Mapping[str, Any]) -> dict[str, int]:
    """A mark for the identity of a run or teacher that learns a part of a multi-label task. Earlier
    versions chose other examples for the same settings, and far too many or too few."""
    part = settings["held_out"] or settings["train_fraction"] != 1
    return {"label_sets": 2} if kind is LABELS and part else {}
