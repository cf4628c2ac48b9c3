"""Forms of knowledge: what a loss compares, whatever it was read from. One row each, no torch.

A knowledge type names its form; a form has its own matchings (`matchings.MATCHINGS`), and the
functions in `losses.term` that read and compare it.
"""

from dataclasses import dataclass

from kd.axes import kinds
from kd.axes.kinds import Kind


@dataclass(frozen=True)
class Form:
    """One form, and what follows from it for the grid, the store and the losses.

    `shape` is that of one side: B examples, L tokens, H hidden size, h heads, A_r relation heads,
    C classes.
    """

    name: str
    shape: str
    per_example: bool = False  # no part of single tokens: no mask, one stored row for an example
    relation_heads: bool = False  # split into A_r heads, which may differ from the model's own
    softmax: bool = False  # a softmax over the keys, which an erratum takes twice
    all_layers: bool = False  # all layer pairs are compared at once, not one by one


LOGITS = Form("logits", "logits (B, C)", per_example=True)
REGRESSION = Form("regression", "logits of a regression (B, 1)", per_example=True)
MULTI_LABEL = Form("multi-label", "logits of a multi-label task (B, C)", per_example=True)
TOKENS = Form("tokens", "outputs of tokens (B, L, H)")
VECTOR = Form("vector", "one vector for an example (B, H)", per_example=True)
MAPS = Form("maps", "attention maps (B, h, L, L)", softmax=True)
SCORES = Form("scores", "attention scores (B, h, L, L)")
RELATION = Form("relation", "relations of Q, K, V (B, A_r, L, L)", relation_heads=True)
TRIPLETS = Form("triplets", "triples of tokens")
LAYERS = Form("layers", "all mapped layers of a token", all_layers=True)

FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        *(LOGITS, REGRESSION, MULTI_LABEL, TOKENS, VECTOR),
        *(MAPS, SCORES, RELATION, TRIPLETS, LAYERS),
    )
}
# By name: a row has many fields, and large grids ask often.
_OF_KIND = {(LOGITS.name, kinds.SCORES): REGRESSION, (LOGITS.name, kinds.LABELS): MULTI_LABEL}


def form_of(form: Form, kind: Kind) -> Form:
    """The form that takes the place of `form` in a task of this kind: mostly itself."""
    return _OF_KIND.get((form.name, kind), form)
