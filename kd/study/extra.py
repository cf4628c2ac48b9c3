"""The extra examples of a run, without labels: what they are made of, and their id."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from kd.axes.extra import ALONE, EPOCHS, OF_AUGMENTATION, OWN_MODEL
from kd.axes.labels import NONE
from kd.axes.pretrained import SCRATCH
from kd.axes.tasks import Task
from kd.axes.terms import Term, measure_of
from kd.axes.weights import as_weight
from kd.data.transfer import TransferSet, transfer_files, transfer_identity
from kd.encoders import facts
from kd.encoders.folder import check_mlm_head
from kd.runtime.errors import Pruned, UserError
from kd.runtime.hashes import short_hash
from kd.study.check import Study
from kd.study.located import located_model
from kd.study.terms import Cell

_LETTERS = 4.5  # of a token, with its blank


@dataclass(frozen=True)
class Extra:
    """Examples without labels: made from a training set by a masked language model, or a set of
    texts of the user's own. `spec` identifies them, and the id is its hash."""

    id: str
    name: str  # the augmentation, or the transfer set in this study
    spec: dict[str, Any] = field(hash=False)
    encoder: facts.Encoder | None = None  # of the masked language model
    transfer: TransferSet | None = None

    def examples(self, task: Task, training: int) -> int:
        """About how many there are; `training`: examples of the training set."""
        if self.transfer is None:
            return int(training * self.spec["factor"])
        letters = sum(Path(path).stat().st_size for _, _, path in transfer_files(self.transfer))
        return int(letters / _LETTERS / task.tokens)


def is_alone(cell: Cell) -> bool:
    """Whether the examples of the transfer set take the place of the training set."""
    return str(cell["transfer"]).startswith(ALONE)


def extras_of(
    study: Study, cell: Cell, task: Task, terms: tuple[Term, ...], teacher: facts.Encoder
) -> tuple[Extra, ...]:
    """The extra examples of a cell; () without terms, since nothing could be learned from them.

    Raises:
        Pruned: they have no meaning in this cell; the message says why.
        UserError: a file is missing or damaged.
    """
    alone = is_alone(cell)
    if not terms:
        if alone:
            raise Pruned(
                f"transfer {cell['transfer']} has no labels and knowledge {NONE} reads no teacher: "
                f"there is nothing to learn"
            )
        return ()
    extras = []
    if cell["augmentation"] != NONE:
        if alone:
            raise Pruned(
                f"augmentation {cell['augmentation']} is of the training set, whose place transfer "
                f"{cell['transfer']} takes"
            )
        extras.append(_augmentation(study, cell, teacher))
    if cell["transfer"] != NONE:
        extras.append(_transfer(study, cell, task))
    if extras and not alone and as_weight(cell["hard_weight"]).peak > 0:
        _check_first_batch(cell, terms)
    return tuple(extras)


def _check_first_batch(cell: Cell, terms: tuple[Term, ...]) -> None:
    """Weights that go by the hard-label loss of a batch need labels in it."""
    weights = cell["weights"]
    if weights == "calibrated" or (weights == "balanced" and measure_of(terms) is None):
        instead = "hard_weight: 0" if weights == "calibrated" else "a term with logits"
        raise Pruned(
            f"weights {weights} go by the hard-label loss of a batch, but a batch may have only "
            f"extra examples, which have no labels; give {instead}, or fixed weights"
        )


def _augmentation(study: Study, cell: Cell, teacher: facts.Encoder) -> Extra:
    method, written = cell["augmentation"], cell["augmentation_model"]
    encoder = teacher if written == OWN_MODEL else _named_model(study, written)
    advice = "augmentation_model names another" if written == OWN_MODEL else "name another"
    if encoder.location == SCRATCH:
        raise Pruned(
            f"augmentation {method} needs a pretrained masked language model, and the teacher has "
            f"random weights ({SCRATCH}); {advice}"
        )
    if encoder.revision is None:
        try:
            check_mlm_head(Path(encoder.location))
        except UserError as error:
            reason = str(error).partition(", so it has")[0]
            raise Pruned(f"augmentation {method}: {reason}; {advice}") from None
    names = (key for key in OF_AUGMENTATION if key not in ("augmentation", "augmentation_model"))
    spec = {
        "augmentation": method,
        "model": dict(encoder.identity),
        **{key.removeprefix("augmentation_"): cell[key] for key in names},
    }
    return Extra(_id(spec), method, spec, encoder=encoder)


@cache
def _named_model(study: Study, written: str) -> facts.Encoder:
    try:
        model = located_model(written, study.path)
        name, _, revision = (model, "", "") if facts.is_local(model) else model.partition("@")
        return facts.encoder(name, revision or "main", None, "bert")
    except UserError as error:
        raise UserError(f"augmentation_model {written}: {error}") from None


def _transfer(study: Study, cell: Cell, task: Task) -> Extra:
    name = str(cell["transfer"]).removeprefix(ALONE)
    transfer_set = study.transfer[name]
    if transfer_set.texts != len(task.columns):
        raise Pruned(
            f"transfer {name} has {transfer_set.texts} text{'s' * (transfer_set.texts > 1)} an "
            f"example, but task {task.title} has {len(task.columns)}"
        )
    try:
        spec = {"transfer": transfer_identity(transfer_set)}
    except UserError as error:
        raise UserError(f"transfer.{name}: {error}") from None
    return Extra(_id(spec), name, spec, transfer=transfer_set)


def _id(spec: dict[str, Any]) -> str:
    return f"extra-{short_hash(spec)}"


def inert_of_extras(cell: Cell, extras: Iterable[Extra]) -> set[str]:
    """The fields of extra examples, and those that these replace, that cannot affect the cell."""
    inert, kinds = set(), {"transfer" if extra.transfer else "augmentation" for extra in extras}
    if not kinds:
        inert.add("compare_at")
    if "augmentation" not in kinds:
        inert |= set(OF_AUGMENTATION[1:])
        if cell["augmentation"] != NONE:
            inert.add("augmentation")
    if "transfer" not in kinds and cell["transfer"] != NONE:
        inert.add("transfer")
    if is_alone(cell):
        inert.add("hard_weight")
        if cell["compare_at"] == EPOCHS and cell["teacher_data"] == "all":
            inert |= {"train_fraction", "fraction_seed", "teacher_data"}
    return inert


def tokens_with(tokens_id: str, extras: tuple[Extra, ...]) -> str:
    """The id of the tokens of a task's text with extra examples."""
    return f"tokens-{short_hash([tokens_id, *(e.id for e in extras)])}" if extras else tokens_id
