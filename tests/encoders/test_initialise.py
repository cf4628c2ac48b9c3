"""Copied weights, for every encoder: the right layers, whole heads, a record of every tensor."""

import numpy as np
import pytest
import torch
from helpers import SHAPE, VOCABULARY, tiny_inputs, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedModel

from kd.axes.initialisations import INITIALISATIONS, PCA
from kd.axes.shapes import Shape
from kd.encoders.build import build_random, shaped_config
from kd.encoders.facts import Encoder
from kd.encoders.initialise import (
    compress_embeddings,
    copy_layers,
    initialise,
    load_pretrained_weights,
    principal_directions,
)
from kd.runtime.errors import UserError

DEEP = Shape(layers=5, hidden=24, heads=3, ffn=40)
SMALL = Shape(layers=2, hidden=12, heads=2, ffn=20)  # heads of 6 out of the teacher's of 8
MORE = {
    "bert": {},
    "roberta": {},
    "distilbert": {},
    "electra": {},
    "albert": {"embedding_size": 16},
    "mpnet": {},
    "modernbert": {"pad_token_id": 0},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 4,
        "max_relative_positions": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": False,
    },
}
every_arch = pytest.mark.parametrize("arch", MORE)


def model(arch: str = "bert", shape: Shape = SHAPE, **more) -> PreTrainedModel:
    more = {**MORE[arch], **more}
    if arch == "deberta-v2":
        more["pooler_hidden_size"] = shape.hidden
    if arch == "modernbert":  # every second layer is global
        kinds = ["full_attention", "sliding_attention"] * shape.layers
        more["layer_types"] = kinds[: shape.layers]
    return tiny_model(arch, shape, **more)


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model.eval()(**tiny_inputs(model)).logits


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The layers in the order in which they are applied; ALBERT's is one, applied again."""
    depth = model.config.num_hidden_layers
    if model.config.model_type == "albert":
        return [model.base_model.encoder.albert_layer_groups[0].albert_layers[0]] * depth
    return next(
        list(m) for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == depth
    )


# --- layers -----------------------------------------------------------------------------------


@every_arch
@pytest.mark.parametrize("scheme", ["teacher-first", "teacher-last", "teacher-distilbert"])
def test_layers_are_copied_from_where_the_scheme_says(arch, scheme):
    teacher, student = model(arch, DEEP, seed=1), model(arch, SHAPE, seed=2)
    layers = INITIALISATIONS[scheme].layers(DEEP.layers, SHAPE.layers, 0)
    record = copy_layers(student, teacher, layers)
    for origin, index in layers:
        mine = layers_of(student)[index - 1].state_dict()
        for name, tensor in layers_of(teacher)[origin - 1].state_dict().items():
            if name in mine:  # ModernBERT's first layer lacks one that the others have
                assert torch.equal(mine[name], tensor), f"{scheme}: layer {index}, {name}"
    given = teacher.state_dict()
    for name, origin in record.items():
        assert torch.equal(student.state_dict()[name], given[origin.removeprefix("teacher: ")])
    assert set(record) == set(student.state_dict())


@every_arch
def test_full_copy_is_the_teacher(arch):
    teacher, student = model(arch, DEEP, seed=1), model(arch, DEEP, seed=2)
    assert not torch.equal(logits(student), logits(teacher))
    copy_layers(student, teacher, tuple((n, n) for n in range(1, DEEP.layers + 1)))
    assert torch.equal(logits(student), logits(teacher)), f"{arch}: something was not copied"
    with torch.no_grad():
        layers_of(student)[0].state_dict().popitem()[1].add_(1)
    assert not torch.equal(logits(student), logits(teacher)), "student and teacher share memory"


@every_arch
def test_a_copied_layer_computes_what_the_teachers_does(arch):
    """Given the same input, wherever it was moved to."""
    teacher, student = model(arch, DEEP, seed=1).eval(), model(arch, SHAPE, seed=2).eval()
    copy_layers(student, teacher, ((1, 1), (3, 2), (5, 3)))
    for origin, index in ((1, 1), (3, 2), (5, 3)):
        seen = []
        hook = layers_of(teacher)[origin - 1].register_forward_hook(
            lambda _, args, kwargs, out, seen=seen: seen.append((args, kwargs, out)),
            with_kwargs=True,
        )
        with torch.no_grad():
            teacher(**tiny_inputs(teacher))
            hook.remove()
            args, kwargs, wanted = seen[0]
            found = layers_of(student)[index - 1](*args, **kwargs)
        if isinstance(wanted, tuple):
            found, wanted = found[0], wanted[0]
        assert torch.equal(found, wanted), f"{arch}: layer {origin} to {index}"


def test_modernberts_first_layer_has_no_norm_to_give():
    """Copied to another place, the norm before its attention starts as a new one does."""
    teacher, student = model("modernbert", DEEP, seed=1), model("modernbert", SHAPE, seed=2)
    record = initialise(student, "teacher:1-1,1-2,4-3", teacher, None)
    norms = {n: o for n, o in record.items() if "attn_norm" in n}
    assert list(norms.values()) == ["random", "teacher: model.layers.3.attn_norm.weight"]
    new = student.state_dict()["model.layers.1.attn_norm.weight"]
    assert torch.equal(new, torch.ones(SHAPE.hidden))


def test_another_encoder_is_a_sentence():
    with pytest.raises(UserError, match="the teacher has no tensor"):
        copy_layers(model("roberta"), model("bert"), ((1, 1), (2, 2), (3, 3)))


def test_a_bf16_teacher_gives_fp32_weights():
    teacher, student = model(seed=1).bfloat16(), model(seed=2)
    copy_layers(student, teacher, tuple((n, n) for n in (1, 2, 3)))
    for name, tensor in student.state_dict().items():
        assert tensor.dtype == torch.float32, name
        assert torch.equal(tensor, teacher.state_dict()[name].float()), name


# --- cutting ----------------------------------------------------------------------------------

# What each encoder calls the maps of a layer; the fused ones are taken apart below.
ATTENTION = {
    "bert": ("attention.self.query", "attention.self.key", "attention.self.value"),
    "distilbert": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "albert": ("attention.query", "attention.key", "attention.value"),
    "mpnet": ("attention.attn.q", "attention.attn.k", "attention.attn.v"),
    "deberta-v2": (
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        "attention.self.pos_key_proj",
        "attention.self.pos_query_proj",
    ),
    "modernbert": ("attn.Wqkv",),
}
ATTENTION |= dict.fromkeys(("roberta", "electra"), ATTENTION["bert"])
OUTPUT = dict.fromkeys(MORE, "attention.output.dense") | {
    "distilbert": "attention.out_lin",
    "albert": "attention.dense",
    "mpnet": "attention.attn.o",
    "modernbert": "attn.Wo",
}


def tag(teacher: PreTrainedModel, layer: int, name: str, dim: int, tags: Tensor) -> None:
    """Fill one map of the teacher, so that every row (or column) says what it is."""
    weight = layers_of(teacher)[layer].get_submodule(name).weight
    with torch.no_grad():
        weight.copy_(tags[:, None].expand_as(weight) if dim == 0 else tags.expand_as(weight))


def tags_of(student: PreTrainedModel, layer: int, name: str, dim: int) -> Tensor:
    weight = layers_of(student)[layer].get_submodule(name).weight
    return weight[:, 0] if dim == 0 else weight[0]


@every_arch
@pytest.mark.parametrize("small", [SMALL, Shape(2, 8, 1, 7), Shape(2, 12, 3, 40)], ids=str)
def test_truncation_keeps_heads_whole(arch, small):
    """Each head of the student is cut from one head of the teacher, never from two."""
    teacher, student = model(arch, DEEP, seed=1), model(arch, small, seed=2)
    heads = torch.arange(DEEP.heads).repeat_interleave(DEEP.head_size).float()
    fused = arch == "modernbert"
    for name in ATTENTION[arch]:
        rows = torch.cat([heads, heads + 100, heads + 200]) if fused else heads
        tag(teacher, 2, name, 0, rows)
    tag(teacher, 2, OUTPUT[arch], 1, heads)
    copy_layers(student, teacher, ((3, 1), (3, 2)))
    wanted = torch.arange(small.heads)[:, None].expand(-1, small.head_size).float()
    for name in ATTENTION[arch]:
        found = tags_of(student, 1, name, 0).view(-1, small.heads, small.head_size)
        for part, rows in enumerate(found):
            assert torch.equal(rows - 100 * part, wanted), f"{arch}: {name} mixes heads"
    found = tags_of(student, 1, OUTPUT[arch], 1).view(small.heads, small.head_size)
    assert torch.equal(found, wanted), f"{arch}: {OUTPUT[arch]} mixes heads"
    assert logits(student).isfinite().all()


@every_arch
def test_the_output_map_reads_the_values_that_are_left(arch):
    teacher, student = model(arch, DEEP, seed=1), model(arch, SMALL, seed=2)
    places, fused = torch.arange(DEEP.hidden).float(), arch == "modernbert"
    values = ATTENTION[arch][0 if fused else 2]
    tag(teacher, 2, values, 0, places.repeat(3) if fused else places)
    tag(teacher, 2, OUTPUT[arch], 1, places)
    copy_layers(student, teacher, ((3, 1), (3, 2)))
    kept = tags_of(student, 1, values, 0)[-SMALL.hidden :]
    assert torch.equal(tags_of(student, 1, OUTPUT[arch], 1), kept)


@every_arch
def test_the_rest_is_the_leading_part(arch):
    teacher, student = model(arch, DEEP, seed=1), model(arch, SMALL, seed=2)
    record = copy_layers(student, teacher, ((2, 1), (5, 2)))
    maps = (*ATTENTION[arch], OUTPUT[arch] + ".weight", "mlp.Wi")
    given = teacher.state_dict()
    for name, tensor in student.state_dict().items():
        origin, _, cut = record[name].removeprefix("teacher: ").partition(" cut to ")
        assert cut == ("" if given[origin].shape == tensor.shape else str(list(tensor.shape)))
        if not any(f".{part}" in name for part in maps):
            leading = given[origin][tuple(slice(n) for n in tensor.shape)]
            assert torch.equal(tensor, leading), f"{name} is not the leading part of {origin}"


def test_relative_attention_is_cut_by_heads():
    teacher, student = model("mpnet", DEEP, seed=1), model("mpnet", SMALL, seed=2)
    copy_layers(student, teacher, ((2, 1), (5, 2)))
    mine, theirs = (m.base_model.encoder.relative_attention_bias.weight for m in (student, teacher))
    assert torch.equal(mine, theirs[:, : SMALL.heads])


def test_modernberts_gates_and_rotations_stay_pairs():
    teacher, student = model("modernbert", DEEP, seed=1), model("modernbert", SMALL, seed=2)
    tag(teacher, 1, "mlp.Wi", 0, torch.arange(2 * DEEP.ffn).float())
    tag(teacher, 1, "attn.Wqkv", 0, torch.arange(3 * DEEP.hidden).float())
    copy_layers(student, teacher, ((2, 1), (2, 2)))
    inputs, gates = tags_of(student, 1, "mlp.Wi", 0).chunk(2)
    assert torch.equal(gates - inputs, torch.full_like(gates, DEEP.ffn)), "a gate of another input"
    rows = tags_of(student, 1, "attn.Wqkv", 0).view(3, SMALL.heads, 2, -1)
    turned = rows[:, :, 1] - rows[:, :, 0]
    assert (turned == DEEP.head_size // 2).all(), "rotary positions turn i with i + d / 2"


@pytest.mark.parametrize(
    ("wide", "hidden", "heads"),
    [
        (Shape(2, 48, 6, 40), 24, 3),
        (Shape(2, 24, 3, 80), 24, 3),
        (Shape(2, 24, 6, 40), 32, 4),
        (Shape(2, 12, 1, 40), 24, 3),
    ],
    ids=["wider", "more feed-forward", "more heads", "wider heads"],
)
def test_a_wider_student_is_a_sentence(wide, hidden, heads):
    teacher = model(shape=Shape(2, hidden, heads, 40))
    with pytest.raises(UserError, match=r"init: .* needs \[.*wider than the teacher's \["):
        copy_layers(model(shape=wide), teacher, ((1, 1), (2, 2)))


def test_a_matrix_of_queries_keys_and_values_is_not_cut():
    """DeBERTa v1's, whose leading rows are queries and keys of few heads."""
    student, teacher = tiny_model("deberta", SMALL), tiny_model("deberta", DEEP)
    with pytest.raises(UserError, match="deberta cannot be cut by heads"):
        copy_layers(student, teacher, ((3, 1), (3, 2)))


def test_attention_of_unknown_names_is_not_cut():
    """Leading rows would mix heads without a word."""
    small, deep = Shape(2, 8, 2, 16), Shape(2, 16, 4, 32)
    config = AutoConfig.for_model("nomic_bert")
    config.vocab_size, config.pad_token_id = VOCABULARY, 0
    student, teacher = (build_random(shaped_config(config, shape)) for shape in (small, deep))
    with pytest.raises(UserError, match="nomic_bert cannot be cut by heads"):
        copy_layers(student, teacher, ((1, 1), (2, 2)))


# --- embeddings -------------------------------------------------------------------------------


@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**31))
def test_principal_directions_are_those_of_the_svd(rows, width, seed):
    table = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))
    found = principal_directions(table).numpy()
    assert np.allclose(found.T @ found, np.eye(width), atol=1e-9), "not orthonormal"
    centred = table.double().numpy() - table.double().numpy().mean(0)
    variances = (centred @ found).var(0) * rows
    singular = np.zeros(width)
    values = np.linalg.svd(centred, compute_uv=False)
    singular[: len(values)] = values[:width]
    assert np.allclose(variances, singular**2, atol=1e-8), "not by falling variance"
    assert (np.take_along_axis(found, abs(found).argmax(0)[None], 0) > 0).all(), "sign is open"


@pytest.mark.parametrize("arch", [arch for arch in MORE if arch != "albert"])
def test_embeddings_are_compressed_and_all_else_is_random(arch):
    more = {"embedding_size": 24} if arch == "electra" else {}
    less = {"embedding_size": 12} if arch == "electra" else {}
    teacher, student = model(arch, DEEP, seed=1, **more), model(arch, SMALL, seed=2, **less)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    record = initialise(student, PCA, teacher, None)
    words = teacher.get_input_embeddings().weight.detach().double()
    directions = principal_directions(words)[:, : SMALL.hidden]
    assert set(record) == set(before)
    compressed = [name for name, origin in record.items() if origin != "random"]
    assert compressed == [
        n for n in before if "embeddings." in n and "orm" not in n and "rel_" not in n
    ]
    for name, tensor in student.state_dict().items():
        if name in compressed:
            assert record[name] == f"teacher: PCA of {name}"
            wanted = (teacher.state_dict()[name].double() @ directions).float()
            assert torch.equal(tensor, wanted), name
        else:
            assert torch.equal(tensor, before[name]), f"{name} is not the student's own"
    # What it is for: words that are near in the teacher are near in the student.
    mine = student.get_input_embeddings().weight.detach().double()
    centred = words - words.mean(0)
    lost = (centred.square().sum() - (mine - mine.mean(0)).square().sum()) / centred.square().sum()
    random = torch.linalg.qr(torch.randn(24, 24, dtype=torch.double))[0][:, : SMALL.hidden]
    assert 0 < lost < 1 - (centred @ random).square().sum() / centred.square().sum()


def test_embeddings_of_equal_width_are_copied():
    teacher, student = model(shape=DEEP, seed=1), model(shape=SHAPE, seed=2)
    record = compress_embeddings(student, teacher)
    assert len(record) == 3
    for name, origin in record.items():
        assert origin == f"teacher: {name}"
        assert torch.equal(student.state_dict()[name], teacher.state_dict()[name])


@pytest.mark.parametrize(
    ("arch", "student", "teacher"), [("bert", DEEP, SMALL), ("electra", SMALL, DEEP)]
)
def test_embeddings_that_cannot_be_compressed_are_a_sentence(arch, student, teacher):
    with pytest.raises(UserError, match="cuts embeddings as wide as the teacher's layers"):
        compress_embeddings(model(arch, student), model(arch, teacher))


# --- a pretrained encoder, and the record -----------------------------------------------------


def saved(folder, arch="bert", **more) -> tuple[Encoder, PreTrainedModel]:
    donor = model(arch, seed=1, **more)
    donor.save_pretrained(folder)
    return Encoder(str(folder), None, arch, SHAPE, VOCABULARY, None, ()), donor


@every_arch
def test_pretrained_weights_leave_the_head_as_it_is(arch, tmp_path):
    encoder, donor = saved(tmp_path, arch)
    student = model(arch, seed=2, labels=3)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    record = initialise(student, {"pretrained": {}}, None, encoder)
    assert set(record) == set(before)
    for name, tensor in student.state_dict().items():
        base = name.startswith(f"{student.base_model_prefix}.")
        assert record[name] == (f"pretrained: {tmp_path}" if base else "random"), name
        assert torch.equal(tensor, donor.state_dict()[name] if base else before[name]), name


def test_a_pooler_that_the_file_lacks_is_recorded_as_random(tmp_path):
    encoder, _ = saved(tmp_path)
    path = tmp_path / "model.safetensors"
    weights = {k: v for k, v in load_file(path).items() if "pooler" not in k}
    save_file(weights, path, metadata={"format": "pt"})
    student = model(seed=2)
    pooler = student.bert.pooler.dense.weight.clone()
    assert not [name for name in load_pretrained_weights(student, encoder) if "pooler" in name]
    assert torch.equal(student.bert.pooler.dense.weight, pooler), "drawn by another seed"


@every_arch
def test_every_tensor_has_an_origin(arch):
    teacher = model(arch, DEEP, seed=1)
    for init in ("random", "teacher:1-1,5-2"):
        student = model(arch, SMALL, seed=2)
        record = initialise(student, init, teacher, None)
        assert list(record) == list(student.state_dict())
        assert {origin == "random" for origin in record.values()} == {init == "random"}
