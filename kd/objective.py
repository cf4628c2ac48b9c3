"""The weighted sum of terms that a student minimises, with the projections that belong to it."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd import losses
from kd.capture import Features
from kd.knowledge import KNOWLEDGE
from kd.shapes import Shape
from kd.terms import Term, matchings_of


def wanted_features(terms: Iterable[Term], teacher: bool) -> set[tuple[str, int]]:
    """(feature, layer) keys that the terms read from the teacher, or from the student."""
    return {
        (feature, pair[0 if teacher else 1])
        for term in terms
        for feature in KNOWLEDGE[term.knowledge].features
        for pair in term.pairs
    }


def hard_label_loss(logits: Tensor, labels: Tensor, regression: bool) -> Tensor:
    """Cross-entropy, or for a regression the squared error; mean over the batch."""
    if regression:
        return F.mse_loss(logits.float().squeeze(-1), labels.float())
    return F.cross_entropy(logits.float(), labels)


class Objective(nn.Module):
    """hard_weight * hard-label loss + sum of weight * term, each the mean over its layer pairs.

    Owns one linear projection (student width -> teacher width) per term and pair, where the
    matching needs equal widths and they differ. They are trained with the student and belong to
    no exported model. With no term at all the hard-label loss stands alone, unweighted.
    """

    def __init__(
        self,
        terms: tuple[Term, ...],
        regression: bool,
        student: Shape,
        teacher: Shape,
        temperature: float,
        hard_weight: float,
        relation_heads: int,
        seed: int,
    ) -> None:
        super().__init__()
        self.terms = terms
        self.regression = regression
        self.temperature = temperature
        self.hard_weight = hard_weight if terms else 1.0
        self.relation_heads = relation_heads
        self.projections = nn.ModuleDict()
        # Its own generator: a projection must not shift the random numbers of anything else.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for index, term in enumerate(terms):
                row = matchings_of(term.knowledge, regression)[term.matching]
                if row.same_width and student.hidden != teacher.hidden:
                    for pair in term.pairs:
                        self.projections[_key(index, pair)] = nn.Linear(
                            student.hidden, teacher.hidden
                        )

    def forward(
        self, student: Features, teacher: Features, mask: Tensor, labels: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and each part of it (unweighted, detached) by name.

        Args:
            student: captured features, with ("logits", 0).
            teacher: captured features; empty where there is no term.
            mask: (B, L) bool, true for real tokens.
            labels: (B,) class indices, or scores.
        """
        hard = hard_label_loss(student["logits", 0], labels, self.regression)
        total, parts = self.hard_weight * hard, {"hard": hard.detach()}
        for index, term in enumerate(self.terms):
            pairs = [self._pair(index, pair, student, teacher, mask) for pair in term.pairs]
            value = torch.stack(pairs).mean()
            total = total + term.weight * value
            parts[str(term)] = value.detach()
        return total, parts

    def _pair(
        self,
        index: int,
        pair: tuple[int, int],
        student: Features,
        teacher: Features,
        mask: Tensor,
    ) -> Tensor:
        term = self.terms[index]
        knowledge = KNOWLEDGE[term.knowledge]
        matching = matchings_of(term.knowledge, self.regression)[term.matching]
        loss: Callable[..., Tensor] = getattr(losses, matching.loss)
        t = [teacher[feature, pair[0]] for feature in knowledge.features]
        s = [student[feature, pair[1]] for feature in knowledge.features]
        if knowledge.form == "logits":
            return loss(s[0], t[0], self.temperature) if matching.softened else loss(s[0], t[0])
        if knowledge.form == "vector":
            return loss(self._project(index, pair, s[0][:, 0]), t[0][:, 0])
        if knowledge.form == "tokens":
            return loss(self._project(index, pair, s[0]), t[0], mask)
        if knowledge.form == "relation":
            return loss((s[0], s[-1]), (t[0], t[-1]), mask, self.relation_heads)
        return loss(_scores(*s), _scores(*t), mask)

    def _project(self, index: int, pair: tuple[int, int], x: Tensor) -> Tensor:
        key = _key(index, pair)
        return self.projections[key](x.float()) if key in self.projections else x


def _key(index: int, pair: tuple[int, int]) -> str:
    """Name of the projection of a term's layer pair."""
    return f"term{index}:{pair[0]}-{pair[1]}"


def _scores(query: Tensor, key: Tensor) -> Tensor:
    """Q K^T / sqrt(d) in fp32: (B, h, L, L)."""
    return query.float() @ key.float().mT / math.sqrt(query.shape[-1])
