"""Copies weights into a student: its teacher's layers or embeddings, or a pretrained encoder.

Every function returns {student tensor: where it came from} for what it copied.
"""

import copy
import re
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kd.axes.initialisations import INITIALISATIONS, PCA, copied_layers
from kd.axes.mappings import Pairs
from kd.encoders.build import load_weights
from kd.encoders.facts import Encoder
from kd.runtime.errors import UserError, shown


class _Layout(NamedTuple):
    """How a dimension of a tensor is laid out: parts of equal size, of heads, of halves."""

    dimension: int
    parts: int = 1
    heads: bool = False
    halves: int = 1


# Tensors whose leading entries would mix heads, gates or rotations. Of others these are kept.
_LAYOUTS: dict[re.Pattern[str], _Layout] = {
    re.compile(pattern): layout
    for pattern, layout in {
        # BERT, RoBERTa, ELECTRA, ALBERT; DeBERTa; DistilBERT; MPNet
        r"\.(query|key|value)\.(weight|bias)$": _Layout(0, heads=True),
        r"\.(pos_)?(query|key|value)_proj\.(weight|bias)$": _Layout(0, heads=True),
        r"\.[qkv]_lin\.(weight|bias)$": _Layout(0, heads=True),
        r"\.attn\.[qkv]\.(weight|bias)$": _Layout(0, heads=True),
        r"\.attention\.(output\.)?dense\.weight$": _Layout(1, heads=True),
        r"\.(out_lin|attn\.o)\.weight$": _Layout(1, heads=True),
        # ModernBERT: Q, K and V in one matrix; rotary positions pair the halves of a head; the
        # feed-forward's input and its gate in one matrix.
        r"\.Wqkv\.(weight|bias)$": _Layout(0, parts=3, heads=True, halves=2),
        r"\.attn\.Wo\.weight$": _Layout(1, heads=True, halves=2),
        r"\.mlp\.Wi\.(weight|bias)$": _Layout(0, parts=2),
    }.items()
}
_LAYER = re.compile(r"^(.*\.(?:layer|layers)\.)(\d+)(\..*)$")
# ModernBERT's first layer reads embeddings that are normalised already and has none of these.
_NOT_IN_FIRST = re.compile(r"\.attn_norm\.(weight|bias)$")


def initialise(
    student: PreTrainedModel,
    init: Any,
    teacher: PreTrainedModel | None,
    donor: Encoder | None,
) -> dict[str, str]:
    """Give a randomly initialised student the weights that a run's canonical `init` names.

    Returns {tensor: where it came from} for every tensor of the student; "random" for the rest.
    """
    copied: dict[str, str] = {}
    if donor is not None:
        copied = load_pretrained_weights(student, donor)
    elif init != "random":
        row = INITIALISATIONS.get(init)
        if row and row.weights:  # a plugin's
            with torch.no_grad():
                copied = row.weights(student, teacher)
            _check_origins(init, copied, student)
            return {name: copied.get(name, "random") for name in student.state_dict()}
        assert teacher is not None, f"init {init} needs its teacher"
        if init == PCA:
            copied = compress_embeddings(student, teacher)
        else:
            depths = (m.config.num_hidden_layers for m in (teacher, student))
            copied = copy_layers(student, teacher, copied_layers(init, *depths))
    return {name: copied.get(name, "random") for name in student.state_dict()}


def _check_origins(init: str, copied: object, student: PreTrainedModel) -> None:
    """Whether a plugin's initialisation says what it set."""
    names = student.state_dict()
    if not isinstance(copied, dict) or not all(name in names for name in copied):
        raise UserError(
            f"init {init}: its function gave {shown(copied)}, allowed: {{tensor of the student: "
            f"where it came from}}"
        )


def copy_layers(
    student: PreTrainedModel, teacher: PreTrainedModel, layers: Pairs
) -> dict[str, str]:
    """Start the student from (teacher layer, student layer) pairs, 1-based; cut what is wider.

    Embeddings, pooler and head are copied too. Where an encoder alternates two kinds of attention
    (ModernBERT's global and local), a layer uses the kind of its new place.

    Raises:
        UserError: a tensor has no counterpart, or is narrower in the teacher; or heads would have
            to be cut, and this encoder's are not known.
    """
    source = teacher.state_dict()
    if student.config.hidden_size != teacher.config.hidden_size and not any(
        layout.heads and layout.dimension == 0 and key.search(name)  # Q, K and V
        for name in source
        for key, layout in _LAYOUTS.items()
    ):
        raise UserError(
            f"init: the attention of a {student.config.model_type} cannot be cut by heads; only "
            f"students as wide as the teacher can be copied"
        )
    chosen = {s - 1: t - 1 for t, s in layers}
    heads = (student.config.num_attention_heads, teacher.config.num_attention_heads)
    record = {}
    with torch.no_grad():
        for name, tensor in student.state_dict().items():
            match = _LAYER.match(name)
            origin = f"{match[1]}{chosen[int(match[2])]}{match[3]}" if match else name
            if origin not in source:
                if _NOT_IN_FIRST.search(origin):
                    continue
                raise UserError(f"init: the teacher has no tensor {origin!r} to copy")
            value = source[origin]
            cut = ""
            if value.shape != tensor.shape:
                value = _cut(value, tensor.shape, name, heads)
                cut = f" cut to {list(tensor.shape)}"
            tensor.copy_(value)
            record[name] = f"teacher: {origin}{cut}"
    return record


def _cut(value: Tensor, shape: torch.Size, name: str, heads: tuple[int, int]) -> Tensor:
    """`value` cut to `shape`; `heads` are the student's and the teacher's."""
    layout = next((row for key, row in _LAYOUTS.items() if key.search(name)), None)
    cut = value
    if layout:
        have, want = value.shape[layout.dimension], shape[layout.dimension]
        cut = value.index_select(layout.dimension, _kept(have, want, layout, heads))
    cut = cut[tuple(slice(size) for size in shape)]
    if cut.shape != shape:
        raise UserError(
            f"init: {name} needs {list(shape)}, wider than the teacher's {list(value.shape)}"
        )
    return cut


def _kept(have: int, want: int, layout: _Layout, heads: tuple[int, int]) -> Tensor:
    """Indices of the entries that are kept: the leading heads of each part, and the leading entries
    of each half."""
    student, teacher = heads if layout.heads else (1, 1)
    places = torch.arange(have).view(layout.parts, teacher, layout.halves, -1)
    each = want // (layout.parts * student * layout.halves)
    return places[:, :student, :, :each].flatten()


def compress_embeddings(student: PreTrainedModel, teacher: PreTrainedModel) -> dict[str, str]:
    """Start the student's embedding tables from the teacher's (arXiv:2106.04563).

    All tables are projected on the leading principal directions of the word table, so that the
    student's sum of word, position and type is the projection of the teacher's. Tables of the
    student's own width are copied as they are.

    Raises:
        UserError: the student is wider, or the encoder keeps its embeddings apart from its width.
    """
    wide, narrow = (model.config.hidden_size for model in (teacher, student))
    words = teacher.get_input_embeddings()
    assert isinstance(words, nn.Embedding)
    if words.embedding_dim != wide or narrow > wide:
        raise UserError(
            f"init: {PCA} cuts embeddings as wide as the teacher's layers ({wide}) to the width of "
            f"the student ({narrow}), but they are {words.embedding_dim} wide"
        )
    directions = principal_directions(words.weight)[:, :narrow]
    target, record = student.state_dict(), {}
    with torch.no_grad():
        for path, module in teacher.base_model.get_submodule("embeddings").named_modules():
            if isinstance(module, nn.Embedding):
                name = f"{teacher.base_model_prefix}.embeddings.{path}.weight"
                same = narrow == wide
                target[name].copy_(module.weight if same else module.weight.double() @ directions)
                record[name] = f"teacher: {name}" if same else f"teacher: PCA of {name}"
    return record


def principal_directions(table: Tensor) -> Tensor:
    """(H, H) for a table (n, H): orthonormal columns by falling variance of the centred rows, in
    float64; the largest entry of each is positive, so that a table has one answer."""
    centred = table.detach().double()
    centred = centred - centred.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # by rising variance
    vectors = vectors.flip(1)
    largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    return vectors * largest.sign()


def load_pretrained_weights(student: PreTrainedModel, encoder: Encoder) -> dict[str, str]:
    """Start the student from a pretrained encoder of its own shape; its head, and a pooler that the
    encoder's file lacks, stay as they are."""
    donor, absent = load_weights(encoder, copy.deepcopy(student.config), "float32")
    prefix = f"{student.base_model_prefix}."
    weights = {
        name: value
        for name, value in donor.state_dict().items()
        if name.startswith(prefix) and name not in absent
    }
    student.load_state_dict(weights, strict=False)
    return {
        name: f"pretrained: {encoder.location}" for name in weights if name in student.state_dict()
    }
