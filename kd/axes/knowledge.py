"""Knowledge types: what the student imitates. `encoders.capture` reads their tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kd.axes.forms import LAYERS, LOGITS, MAPS, RELATION, SCORES, TOKENS, TRIPLETS, VECTOR, Form


@dataclass(frozen=True)
class Knowledge:
    """One knowledge type. `features` are the tensors that are captured for it. `layered` says
    whether each layer has its own. `read` (captured tensors of a layer, mask) makes one side of the
    comparison; without it the form does."""

    form: Form
    features: tuple[str, ...]
    meaning: str
    source: str
    layered: bool = True
    lowest_layer: int = 1
    fewest_pairs: int = 1  # with fewer mapped layers there is nothing to compare
    vector: str = ""  # name of the vector that is made of the features of an example
    classified: bool = False  # the student's side goes through the teacher's frozen classifier
    usual: str = ""  # the default matching, where it is not the first of the form
    read: Callable[[list[Any], Any], Any] | None = None
    of_task: bool = False  # only a model with the head of a task has it
    of_text: bool = False  # only a stage before the task has it

    @property
    def of_student(self) -> tuple[str, ...]:
        """The tensors that are captured of the student."""
        return ("representation",) if self.classified else self.features

    @property
    def stored(self) -> tuple[str, ...]:
        """Names of the arrays that hold this knowledge in the store of a teacher."""
        return (self.vector,) if self.vector else self.features

    @property
    def masked(self) -> bool:
        """Whether padding has to be left out when the tensors are read or compared."""
        return not self.form.per_example or self.vector == "pooled" or self.read is not None


def _hidden(form: Form, meaning: str, source: str, **facts: int | bool | str) -> Knowledge:
    return Knowledge(form, ("hidden",), meaning, source, **{"lowest_layer": 0, **facts})  # type: ignore[arg-type]


def _relation(x: str, y: str, source: str) -> Knowledge:
    meaning = f"softmax({x[0].upper()} {y[0].upper()}^T / sqrt(d_r)) in relation heads"
    return Knowledge(RELATION, (x, y), meaning, source)


_MINILM2 = "MiniLMv2 (arXiv:2012.15828)"
_TINYBERT = "TinyBERT (arXiv:1909.10351)"
_CKD = "CKD (arXiv:2109.08359)"
_QKV = ("query", "key", "value")

KNOWLEDGE: dict[str, Knowledge] = {
    "logits": Knowledge(
        LOGITS,
        ("logits",),
        "outputs of the classification head",
        "Hinton et al. 2015 (arXiv:1503.02531)",
        layered=False,
        of_task=True,
    ),
    "mlm-logits": Knowledge(
        LOGITS,
        ("logits",),
        "outputs of the masked language model head at the masked tokens, in a stage before the "
        "task (here B counts these tokens, and C the words)",
        "DistilBERT (arXiv:1910.01108)",
        layered=False,
        of_text=True,
    ),
    "teacher-classifier": Knowledge(
        LOGITS,
        ("logits",),
        "logits of the teacher's frozen classifier, for the representation of the student and of "
        "the teacher: S = W_T r_S + b_T. The classifier is the linear layer that gives the logits, "
        "and the representation r is its input",
        "SRRL (Yang et al., ICLR 2021): the loss L_SR in its L2 form, without L_FM. The projection "
        "is linear, where its code adds batch norm and ReLU",
        layered=False,
        classified=True,
        of_task=True,
        usual="mse",
    ),
    "embedding": _hidden(
        TOKENS,
        "input of the first layer (embeddings after LayerNorm)",
        _TINYBERT,
        layered=False,
    ),
    "hidden": _hidden(TOKENS, "outputs of a layer", _TINYBERT),
    "cls": _hidden(
        VECTOR,
        "output of a layer at the first token",
        "BERT-PKD (arXiv:1908.09355)",
        vector="cls",
    ),
    "pooled": _hidden(
        VECTOR,
        "mean over the tokens of a layer's outputs",
        "RAIL-KD (arXiv:2109.10164)",
        vector="pooled",
    ),
    "attention": Knowledge(
        MAPS,
        ("query", "key"),
        "softmax(Q K^T / sqrt(d)) over valid keys, before dropout",
        "MiniLM (arXiv:2002.10957)",
    ),
    "attention-scores": Knowledge(
        SCORES, ("query", "key"), "Q K^T / sqrt(d) before the softmax", _TINYBERT
    ),
    "query-relation": _relation("query", "query", _MINILM2),
    "key-relation": _relation("key", "key", _MINILM2),
    "value-relation": _relation("value", "value", f"MiniLM (A_r = h), {_MINILM2}"),
    **{f"{x}-{y}-relation": _relation(x, y, _MINILM2) for x in _QKV for y in _QKV if x != y},
    "token-triplet-angle": _hidden(
        TRIPLETS,
        "angles between the differences of a token to two others, at most 10 places away",
        f"{_CKD}, MGSKD (Liu et al., ACL 2022)",
    ),
    "layer-relation": _hidden(
        LAYERS,
        "how the outputs of a token in the mapped layers relate to each other",
        _CKD,
        fewest_pairs=3,
    ),
}
