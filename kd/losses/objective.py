"""The weighted sum that a student minimises: the hard-label loss and the knowledge terms."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.axes.errata import errata_of
from kd.axes.fields import RUN_DEFAULTS
from kd.axes.kinds import CLASSES, LABELS, SCORES, Kind
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.shapes import Shape
from kd.axes.terms import HARD, Term, balanced_terms, matchings_of, measure_of
from kd.axes.weights import ONE, Weight, as_weight
from kd.encoders.capture import Features
from kd.losses.moving import Moment
from kd.losses.temperature import PROBABILITY_SHIFTS
from kd.losses.term import TermLoss
from kd.runtime.errors import UserError

_NOISE = 1e-6  # share of the largest gradient; smaller gradients are rounding errors


def wanted_features(terms: Iterable[Term], teacher: bool) -> set[tuple[str, int]]:
    """The (feature, layer) keys that the terms read from the teacher, or from the student."""
    return {
        (feature, pair[0 if teacher else 1])
        for term in terms
        for row in [KNOWLEDGE[term.knowledge]]
        for feature in (row.features if teacher else row.of_student)
        for pair in term.pairs
    }


def reads_classifier(terms: Iterable[Term]) -> bool:
    """Whether a term needs the weights of the teacher's classifier."""
    return any(KNOWLEDGE[term.knowledge].classified for term in terms)


def hard_label_loss(logits: Tensor, labels: Tensor, kind: Kind) -> Tensor:
    """The loss of logits (B, C) on the labels, mean over the batch: a scalar.

    Classes: cross-entropy with labels (B,). Scores: squared error of logits (B, 1) and labels (B,).
    Labels: binary cross-entropy of each label, labels (B, C) of 0 and 1, mean over labels too.
    """
    return _HARD[kind](logits.float(), labels)


_HARD: dict[Kind, Callable[[Tensor, Tensor], Tensor]] = {
    CLASSES: F.cross_entropy,
    SCORES: lambda logits, labels: F.mse_loss(logits.squeeze(-1), labels.float()),
    LABELS: lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float()),
}


def _with_answers(labels: Tensor, labelled: Tensor, teacher: Tensor, kind: Kind) -> Tensor:
    """The labels, with the teacher's answers for the examples that have none."""
    answers = _ANSWERS[kind](teacher).to(labels.dtype)
    return answers.index_copy(0, labelled, labels[labelled])


_ANSWERS: dict[Kind, Callable[[Tensor], Tensor]] = {
    CLASSES: lambda logits: logits.argmax(-1),
    SCORES: lambda logits: logits.squeeze(-1),
    LABELS: lambda logits: logits > 0,
}


def _gradient_norm(value: Tensor, parameters: Sequence[Tensor]) -> float:
    """L2 norm of the gradient of a loss on the parameters; 0 if it depends on none of them."""
    gradients = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    norms = [g.float().norm() for g in gradients if g is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


class Objective(nn.Module):
    """hard_weight * hard-label loss + sum of weight * term.

    The projections of its terms are trained with the student and are not part of the exported
    model. Without terms the objective is the unweighted hard-label loss. `settings` are fields of
    a run; a missing field has its default. Where the examples are not `labelled`, there is no
    hard-label loss. In a stage before the task, the masked language model loss takes its place.
    `classifier` is the layer of the teacher that gives its logits, for terms that read it
    (`reads_classifier`).
    """

    def __init__(
        self,
        terms: tuple[Term, ...],
        kind: Kind,
        student: Shape,
        teacher: Shape,
        settings: dict[str, Any],
        labelled: bool = True,
        classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        settings = {**RUN_DEFAULTS, **settings}
        self.terms = terms
        self.kind = kind
        self.labelled = labelled
        self.errata = errata_of(settings["errata"])
        self.shifts = settings["probability_shift"] and kind is not SCORES
        self.weights: dict[str, Weight] = {
            **({HARD: as_weight(settings["hard_weight"]) if terms else ONE} if labelled else {}),
            **{str(term): term.weight for term in terms},
        }
        measure = measure_of(terms)
        self.measure = str(measure) if measure else HARD
        balanced = balanced_terms(terms) if settings["weights"] == "balanced" else []
        self.balanced = [str(term) for term in balanced]
        calibrated = settings["weights"] == "calibrated" and bool(terms)
        # A factor for each weight; NaN until `calibrate` sets it.
        self.scales = [math.nan if calibrated else 1.0] * len(self.weights)
        # In a generator of their own: projections must not change other random numbers.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings["seed"])
            self.term_losses = nn.ModuleList(
                TermLoss(
                    term,
                    matchings_of(term.knowledge, kind)[term.matching],
                    student,
                    teacher,
                    settings,
                    classifier,
                )
                for term in terms
            )

    def get_extra_state(self) -> Tensor:
        """The scales (weights,), float64, for checkpoints."""
        return torch.tensor(self.scales, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore what `get_extra_state` returned."""
        self.scales = state.tolist()

    @property
    def waits(self) -> bool:
        """Whether the weights still have to be calibrated."""
        return math.isnan(self.scales[0])

    @property
    def repeatable(self) -> bool:
        """Whether a step is nothing but operations on the device, the same at equal `choices`."""
        return all(bool(term_loss.repeatable) for term_loss in self.term_losses)

    def choices(self, moment: Moment) -> tuple[Any, ...]:
        """What of the loss depends on the moment: the weights, and the layer pairs that count."""
        weights = tuple(weight.at(moment.progress) for weight in self.weights.values())
        losses: Iterable[Any] = self.term_losses
        return weights, tuple(term_loss.active_pairs(moment) for term_loss in losses)

    def forward(
        self,
        student: Features,
        teacher: Features,
        mask: Tensor,
        labels: Tensor,
        moment: Moment,
        labelled: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and each part of it (unweighted, detached) by name.

        Args:
            student: captured features, with ("logits", 0).
            teacher: captured features; empty if there is no term.
            mask: (B, L) bool, true for real tokens.
            labels: (B,) class indices or scores; (B, C) of 0 and 1 for a multi-label task.
            moment: where the training stands.
            labelled: (k,) places in the batch of the examples that have a label; None for all. The
                hard-label loss is their mean, and is left out where there is none. For terms that
                read labels, the others have the teacher's answer.
        """
        parts = self.parts(student, teacher, mask, labels, moment, labelled)
        return self.total(parts, moment), {name: value.detach() for name, value in parts.items()}

    def parts(
        self,
        student: Features,
        teacher: Features,
        mask: Tensor,
        labels: Tensor,
        moment: Moment,
        labelled: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The unweighted losses of a batch, scalars by name; arguments as in `forward`.

        A part whose weight is 0 at this moment is left out, so that AdamW does not step what only
        this part reaches. It is there before `calibrate`, where it is the measure of balanced
        weights, and in a batch that would have no loss at all: its examples have no label, and no
        term counts.
        """
        losses = {}
        counts = [term.weight.at(moment.progress) > 0 for term in self.terms]
        if self._reads_labels(moment, any(counts)) and (labelled is None or len(labelled)):
            logits, own = student["logits", 0], labels
            if labelled is not None:
                logits, own = logits[labelled], labels[labelled]
            losses[HARD] = hard_label_loss(logits, own, self.kind)
        if labelled is not None and ("logits", 0) in teacher:
            labels = _with_answers(labels, labelled, teacher["logits", 0], self.kind)
        if "padding" in self.errata:
            mask = torch.ones_like(mask)
        if self.shifts and ("logits", 0) in teacher:
            shifted = PROBABILITY_SHIFTS[self.kind](teacher["logits", 0], labels)
            teacher = {**teacher, ("logits", 0): shifted}
        every = self.waits or not (losses or any(counts))
        for term, term_loss, is_read in zip(self.terms, self.term_losses, counts, strict=True):
            if every or is_read:
                losses[str(term)] = term_loss(student, teacher, mask, labels, moment)
        return losses

    def _reads_labels(self, moment: Moment, others: bool) -> bool:
        """Whether the hard-label loss is a part; `others`: whether a term is one."""
        if not self.labelled:
            return False
        needed = self.waits or (self.balanced and self.measure == HARD) or not others
        return bool(needed or self.weights[HARD].at(moment.progress) > 0)

    def total(self, parts: dict[str, Tensor], moment: Moment) -> Tensor:
        """The weighted sum, a scalar, of the `parts` (scalars by name) at a moment."""
        loss, factors = next(iter(parts.values())).new_zeros(()), self.factors(parts)
        for scale, (name, weight) in zip(self.scales, self.weights.items(), strict=True):
            if name in parts:
                factor = scale * weight.at(moment.progress)
                loss = loss + factors.get(name, 1.0) * factor * parts[name]
        return loss

    def factors(self, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Factors of the weights of balanced terms at this step, by name, without gradient.

        A factor is the loss that is the measure, divided by the loss of the term. With it the term
        is as large as the measure (arXiv:2407.14679, section 3). If a term is almost 0, as for a
        student that starts as a copy of the teacher, its factor is bounded.
        """
        if not self.balanced:
            return {}
        measure = parts[self.measure].detach()
        smallest = (_NOISE * measure).clamp_min(torch.finfo(measure.dtype).tiny)
        return {
            name: measure / torch.maximum(parts[name].detach(), smallest)
            for name in self.balanced
            if name in parts
        }

    def calibrate(self, parts: dict[str, Tensor], parameters: Sequence[Tensor]) -> None:
        """Scale the weights once, by the gradients of the first batch.

        After that, the norm of the gradient of each weighted part is its weight in the study over
        the sum of all weights. A weight that changes counts with its peak.

        Args:
            parts: unweighted losses, scalars by name, with their graph.
            parameters: all parameters of the student.

        Raises:
            UserError: a part with a weight has no gradient, or a gradient that is not finite.
        """
        whole = sum(weight.peak for weight in self.weights.values())
        norms = {
            name: _gradient_norm(parts[name], parameters)
            for name, weight in self.weights.items()
            if weight.peak > 0
        }
        for name, norm in norms.items():
            if not _NOISE * max(norms.values()) < norm < math.inf:
                raise UserError(
                    f"weights calibrated: the gradient of {name} at step 0 is {norm:g}, so no "
                    f"weight can scale it"
                )
        self.scales = [1 / (whole * norms.get(name, 1.0)) for name in self.weights]

    def weights_text(self) -> str:
        """The weights that are used, as in `hard*1 + logits:kl*0.5`.

        Calibrated weights are scaled. Weights that are balanced at every step end in `*balanced`.
        """
        terms = [str(replace(term, weight=ONE)) for term in self.terms]
        names = [HARD, *terms] if self.labelled else terms
        scaled = [
            replace(weight, start=weight.start * scale, end=weight.end * scale)
            for weight, scale in zip(self.weights.values(), self.scales, strict=True)
        ]
        steps = ["*balanced" if name in self.balanced else "" for name in self.weights]
        return " + ".join(
            f"{name}*{weight:.6g}{step}"
            for name, weight, step in zip(names, scaled, steps, strict=True)
        )
