"""The loss of one knowledge term: selects tensors from the features, projects and compares them."""

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kd.axes.errata import errata_of
from kd.axes.forms import LOGITS
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import Pairs
from kd.axes.matchings import Matching
from kd.axes.projections import is_projected, name_of_pair, projection_names
from kd.axes.shapes import Shape
from kd.axes.terms import Term
from kd.encoders.capture import Features, vector_of
from kd.losses.attention import double_softmax
from kd.losses.moving import Moment, active_pairs
from kd.losses.projection import make_projection
from kd.losses.table import TEMPERATURES, loss_of
from kd.losses.transport import layer_weights, transport_plan
from kd.runtime.errors import UserError, shown

CONTRASTIVE_WIDTH = 128  # to which both sides are projected (as in CRD, arXiv:1910.10699)


class TermLoss(nn.Module):
    """The unweighted loss of a term: the mean over its layer pairs, weighted as the mapping says.

    If the matching needs equal widths and they differ, it has projections (student width ->
    teacher width) of the kind that the settings name.

    Args:
        term: the term, with its layer pairs.
        matching: how the two sides are compared.
        student: the student's shape.
        teacher: the teacher's shape.
        settings: the fields of a run; relation_heads is a number if the term relates Q, K or V.
        classifier: the teacher's layer (H_T -> C) that gives its logits, if the term reads it. Its
            weights are copied in fp32; they are neither trained nor saved.
    """

    classifier_weight: Tensor
    classifier_bias: Tensor | None

    def __init__(
        self,
        term: Term,
        matching: Matching,
        student: Shape,
        teacher: Shape,
        settings: dict[str, Any],
        classifier: nn.Linear | None = None,
    ) -> None:
        super().__init__()
        self.term = term
        self.matching = matching
        self.knowledge = KNOWLEDGE[term.knowledge]
        self.loss = _checked(matching) if callable(matching.loss) else loss_of(matching)
        self.settings = settings
        self.errata = errata_of(settings["errata"])
        self.student_projections, self.teacher_projections = nn.ModuleDict(), nn.ModuleDict()
        kind, both = settings["projection"], matching.both_projected
        projected = is_projected(
            term.knowledge, matching, term.moving, student.hidden, teacher.hidden
        )
        target = CONTRASTIVE_WIDTH if both else teacher.hidden
        for key in projection_names(term, kind) if projected else ():
            self.student_projections[key] = make_projection(kind, student.hidden, target)
            if both:
                self.teacher_projections[key] = make_projection(kind, teacher.hidden, target)
        if self.knowledge.classified:
            assert classifier is not None, f"{term}: the teacher's classifier is missing"
            for name in ("weight", "bias"):
                own = getattr(classifier, name)
                value = None if own is None else own.detach().float().clone()
                self.register_buffer(f"classifier_{name}", value, persistent=False)
        if term.moving == "emd":  # buffers, so that checkpoints have the weights of the layers
            for side, name in enumerate(("teacher_weights", "student_weights")):
                layers = len({pair[side] for pair in term.pairs})
                start = torch.full((layers,), 1 / layers, dtype=torch.float64)
                self.register_buffer(name, start)

    @property
    def repeatable(self) -> bool:
        """Whether it is computed on the device, by this project's own functions."""
        own = not callable(self.matching.loss) and not self.knowledge.read
        return own and self.term.moving != "emd"

    def active_pairs(self, moment: Moment) -> Pairs:
        """The layer pairs that count at a moment."""
        share = self.term.weight.share(moment.progress)
        return active_pairs(self.term.moving, self.term.pairs, moment, share)

    def forward(
        self, student: Features, teacher: Features, mask: Tensor, labels: Tensor, moment: Moment
    ) -> Tensor:
        """The loss of a batch, a scalar.

        Args:
            student: the student's features by (feature, layer); layer 0 is the embeddings.
            teacher: the teacher's features.
            mask: (B, L) bool, true for real tokens.
            labels: (B,) class indices or scores; (B, C) of 0 and 1 in a multi-label task.
            moment: where the training stands.
        """
        term = self.term
        teacher = {key: tensor.detach() for key, tensor in teacher.items()}
        if self.knowledge.form is LOGITS:
            return self._soft_labels(self._logits(student), teacher["logits", 0], labels)
        if self.knowledge.form.all_layers:
            stacks = (
                torch.stack([features["hidden", pair[side]] for pair in term.pairs])
                for side, features in ((1, student), (0, teacher))
            )
            return self.loss(*stacks, mask)

        @cache
        def student_side(key: str, layer: int) -> Any:
            return _project(self.student_projections, key, self._select(student, layer, mask))

        @cache
        def teacher_side(layer: int) -> Any:
            return self._select(teacher, layer, mask)

        def pair_losses(pairs: Pairs) -> Tensor:
            return torch.stack(
                [
                    self._pair_loss(p, student_side(self._key(p), p[1]), teacher_side(p[0]), mask)
                    for p in pairs
                ]
            )

        if term.moving == "emd":
            return self._transported(pair_losses(term.pairs))
        if term.moving == "attention-weighted":
            layers = torch.stack([teacher_side(t) for t in sorted({t for t, _ in term.pairs})])
            values = []
            for s in sorted({s for _, s in term.pairs}):
                x = student_side(self._key((0, s)), s)
                values.append(self._pair_loss((0, s), x, mixture(x, layers), mask))
            return torch.stack(values).mean()
        return pair_losses(self.active_pairs(moment)).mean()

    def _key(self, pair: tuple[int, int]) -> str:
        """Name of the projection of a layer pair."""
        return name_of_pair(self.term.moving, pair, self.settings["projection"])

    def _select(self, features: Features, layer: int, mask: Tensor) -> Any:
        """The knowledge of one layer, of student or teacher, in the form that the loss takes."""
        vector = self.knowledge.vector
        if (vector, layer) in features:  # from the store, which has the vector itself
            return features[vector, layer]
        captured = [features[name, layer] for name in self.knowledge.features]
        if self.knowledge.read:
            side = self.knowledge.read(captured, mask)
        else:
            side = _SELECT[self.knowledge.form.name](captured, vector, mask)
        return double_softmax(side, mask) if self._doubled else side

    def _pair_loss(self, pair: tuple[int, int], student: Any, teacher: Any, mask: Tensor) -> Tensor:
        """The loss of one layer pair: a scalar."""
        form = self.knowledge.form
        teacher = _project(self.teacher_projections, self._key(pair), teacher)
        if form.per_example:
            return self.loss(student, teacher)
        if form.relation_heads:
            return self.loss(student, teacher, mask, self.settings["relation_heads"])
        if self._doubled:  # over all keys, but with the mean over valid queries
            share = mask.sum() / mask.numel()
            return self.loss(student, teacher, torch.ones_like(mask)) / share
        return self.loss(student, teacher, mask)

    def _logits(self, student: Features) -> Tensor:
        """The student's side of a comparison of logits, (B, C)."""
        if not self.knowledge.classified:
            return student["logits", 0]
        key = self._key(self.term.pairs[0])
        x = _project(self.student_projections, key, student["representation", 0])
        return F.linear(x.float(), self.classifier_weight, self.classifier_bias)

    @property
    def _doubled(self) -> bool:
        return self.knowledge.form.softmax and "double-softmax" in self.errata

    def _soft_labels(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        options: dict[str, Any] = dict(self.matching.options)
        if self.matching.labelled:
            options["labels"] = labels
        loss = partial(self.loss, student, teacher, **options)
        if not self.matching.softened:
            return loss()
        temperature = float(self.settings["temperature"])
        schedule = self.settings["temperature_schedule"]
        if schedule != "constant":
            per_example = TEMPERATURES[schedule]
            return loss(temperature=per_example(student, teacher, temperature))
        value = loss(temperature=temperature)
        return value / temperature**2 if "no-tau-squared" in self.errata else value

    def _transported(self, costs: Tensor) -> Tensor:
        """The cost of the optimal transport, a scalar, from the `costs` (pairs,) of layer pairs."""
        weights = [self.get_buffer(name) for name in ("teacher_weights", "student_weights")]
        places = [sorted({pair[side] for pair in self.term.pairs}) for side in (0, 1)]
        matrix = torch.zeros([len(p) for p in places], dtype=torch.float64)
        index = [
            torch.tensor([p.index(pair[side]) for pair in self.term.pairs])
            for side, p in enumerate(places)
        ]
        matrix[index[0], index[1]] = costs.detach().double().cpu()
        cost, (a, b) = matrix.numpy(), (w.cpu().numpy() for w in weights)
        plan = transport_plan(cost, a, b)
        if torch.is_grad_enabled():  # an evaluation changes nothing
            for buffer, new in zip(weights, layer_weights(cost, plan, a, b), strict=True):
                buffer.copy_(torch.from_numpy(new))
        flow = torch.from_numpy(plan)[index[0], index[1]]
        return (flow.to(costs) * costs).sum()


def mixture(x: Tensor, layers: Tensor) -> Tensor:
    """Teacher layers (T, B, ..., H), mixed for a student layer x (B, ..., H) of the same width.

    The weight of a layer is the softmax over layers of <x, layer> / sqrt(H) (ALP-KD,
    arXiv:2012.14022, which does not divide by the root). The gradient reaches x through these
    weights too.

    Returns:
        (B, ..., H) in fp32.
    """
    layers = layers.float()
    weights = (layers * x.float()).sum(-1).div(math.sqrt(x.shape[-1])).softmax(0)
    return (weights[..., None] * layers).sum(0)


def _checked(matching: Matching) -> Callable[..., Tensor]:
    """The loss of a plugin, whose value is checked: a finite training needs no more of it than a
    scalar with a gradient on the student."""
    loss = loss_of(matching)

    def checked(student: Any, *others: Any, **options: Any) -> Tensor:
        value = loss(student, *others, **options)
        code = getattr(loss, "__code__", None)
        where = f"{code.co_filename}: line {code.co_firstlineno}: " if code else ""
        name = getattr(loss, "__name__", "the loss")
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            found = tuple(value.shape) if isinstance(value, Tensor) else value
            raise UserError(
                f"{where}{name} returned {shown(found)}, allowed: a tensor without dimensions, the "
                f"mean over valid units"
            )
        sides = student if isinstance(student, tuple) else (student,)
        if any(side.requires_grad for side in sides) and not value.requires_grad:
            raise UserError(
                f"{where}{name} returned a value without a gradient on the student, which would "
                f"teach nothing"
            )
        return value

    return checked


def _project(projections: nn.ModuleDict, key: str, x: Any) -> Any:
    return projections[key](x.float()) if key in projections else x


def _scores(tensors: list[Tensor], vector: str, mask: Tensor) -> Tensor:
    """Q K^T / sqrt(d) in fp32: (B, h, L, L)."""
    query, key = tensors
    return query.float() @ key.float().mT / math.sqrt(query.shape[-1])


def _pair(tensors: list[Tensor], vector: str, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Two of Q, K and V, (B, h, L, d) each; the same tensor twice if only one is captured."""
    return tensors[0], tensors[-1]


def _vector(tensors: list[Tensor], vector: str, mask: Tensor) -> Tensor:
    """The vector called `vector`, (B, H)."""
    return vector_of(vector, tensors[0], mask)


def _tokens(tensors: list[Tensor], vector: str, mask: Tensor) -> Tensor:
    """The hidden states as they are, (B, L, H)."""
    return tensors[0]


# By the name of a form: (captured tensors of a layer, name of a vector, mask) -> one side of the
# comparison. `TermLoss.forward` selects logits and stacks of all layers itself.
_SELECT: dict[str, Callable[[list[Tensor], str, Tensor], Any]] = {
    "tokens": _tokens,
    "triplets": _tokens,
    "vector": _vector,
    "maps": _scores,
    "scores": _scores,
    "relation": _pair,
}
