"""What `capture` reads, against what the same encoder says of itself with eager attention."""

import copy
import gc
import math
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import EVERY_ARCH, SHAPE, tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from kd.axes.architectures import ARCHS, attention_obstacle
from kd.encoders.build import classifier_of
from kd.encoders.capture import ATTENTION_FEATURES, Capture, capture_teacher, encoder_layers
from kd.runtime.errors import UserError

every_arch = pytest.mark.parametrize("arch", EVERY_ARCH)
MODELS = Path(__file__).resolve().parents[3] / "shared" / "models"


def everything(layers: int, attention: bool = True) -> set[tuple[str, int]]:
    """All features of an encoder of so many layers."""
    hidden = {("hidden", layer) for layer in range(layers + 1)}
    heads = {(name, layer) for name in ATTENTION_FEATURES for layer in range(1, layers + 1)}
    return {("logits", 0)} | hidden | (heads if attention else set())


EVERYTHING = everything(SHAPE.layers)


def eager_twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights with the attention that can return its maps."""
    config = copy.deepcopy(model.config)  # a capture changes the attention that it names
    twin = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def count_layers(model: PreTrainedModel) -> list[int]:
    """From now on, one entry for each layer that is run: which module it was."""
    calls: list[int] = []
    for index, layer in enumerate(encoder_layers(model), start=1):
        layer.register_forward_hook(lambda *_, index=index: calls.append(index))
    return calls


@pytest.fixture(params=EVERY_ARCH)
def model(request):
    return tiny_model(request.param).eval()


def maps_of(query: Tensor, key: Tensor, mask: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(d)) over valid keys."""
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    return scores.masked_fill(~mask[:, None, None], -math.inf).softmax(-1)


def assert_equals_eager(model: PreTrainedModel, inputs: dict[str, Tensor]) -> None:
    """Every feature that can be captured, against the eager model's own outputs."""
    attention = attention_obstacle(model.config.model_type) is None
    layers, mask = model.config.num_hidden_layers, inputs["attention_mask"].bool()
    with torch.no_grad():
        wanted = eager_twin(model)(**inputs, output_hidden_states=True, output_attentions=True)
        with Capture(model, everything(layers, attention)) as capture:
            features = capture(**inputs)
    assert len(wanted.hidden_states) == layers + 1, "the reference is incomplete"
    assert len(wanted.attentions) == layers, "the reference is incomplete"

    assert torch.allclose(features["logits", 0], wanted.logits, atol=1e-5), "logits differ"
    for layer, states in enumerate(wanted.hidden_states):
        found = features["hidden", layer]
        assert torch.allclose(found[mask], states[mask], atol=1e-5), f"hidden({layer}) differs"
    for layer, maps in enumerate(wanted.attentions if attention else (), start=1):
        found = maps_of(features["query", layer], features["key", layer], mask)
        rows = mask[:, None, :].expand(maps.shape[:-1])
        assert torch.allclose(found[rows], maps[rows], atol=1e-5), f"attention({layer}) differs"
        assert maps[rows].std() > 0.05, "the maps are uniform: this test would see no difference"


@pytest.mark.parametrize("arch", ARCHS)
def test_features_are_those_of_the_eager_encoder(arch):
    model = tiny_model(arch).eval()
    assert_equals_eager(model, tiny_inputs(model))


@every_arch
def test_features_of_an_encoder_as_deep_as_real_ones(arch):
    deep = replace(SHAPE, layers=13)
    model = tiny_model(arch, deep, spread=0.1).eval()
    assert model.config.num_hidden_layers == 13
    assert_equals_eager(model, tiny_inputs(model))


@pytest.mark.parametrize("name", ["minilm-l6-h384-uncased"])
def test_features_of_a_pretrained_encoder(name):
    if not (MODELS / name).is_dir():
        pytest.skip("no pretrained encoder is beside this checkout")
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / name).eval()
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    texts = ["A short one.", "And a sentence that is a little longer, for a ragged batch."]
    assert_equals_eager(model, tokenizer(texts, padding=True, return_tensors="pt"))


def test_albert_with_two_groups_of_layers():
    model = tiny_model("albert", num_hidden_groups=2).eval()
    assert len(encoder_layers(model)) == 2
    assert_equals_eager(model, tiny_inputs(model))


def test_deberta_with_a_convolution_beside_its_first_layer():
    """As in deberta-v2-xlarge: what leaves the first layer is not yet hidden(1)."""
    model = tiny_model("deberta-v2", conv_kernel_size=3, conv_act="gelu").eval()
    assert_equals_eager(model, tiny_inputs(model))


def test_modernberts_maps_are_the_eager_ones_up_to_half_its_window():
    """Further apart, its local layers look away, and the captured map is that without a window."""
    model = tiny_model("modernbert", local_attention=8).eval()
    assert model.config.layer_types[1] == "sliding_attention"
    assert_equals_eager(model, tiny_inputs(model, (5, 3)))
    with pytest.raises(AssertionError, match=r"attention\(2\) differs"):
        assert_equals_eager(model, tiny_inputs(model, (6, 3)))


def test_modernberts_last_hidden_state_has_passed_the_final_norm():
    model = tiny_model("modernbert").eval()
    with torch.no_grad():
        model.model.final_norm.weight.mul_(3)
    with Capture(model, {("hidden", SHAPE.layers)}) as capture:
        features = capture_teacher(capture, **tiny_inputs(model))
    norms = features["hidden", SHAPE.layers].std(-1, correction=0)
    assert torch.allclose(norms, torch.full_like(norms, 3.0), atol=1e-3)


PROJECTIONS = ("value", "v_lin", "Wqkv")  # names of the map that makes the values


def test_values_are_the_layers_own_projection(model):
    """Heads first: (B, h, L, d), from the hidden states below."""
    inputs = tiny_inputs(model)
    with torch.no_grad(), Capture(model, EVERYTHING) as capture:
        features = capture(**inputs)
    layers = list(encoder_layers(model))
    for layer in range(1, SHAPE.layers + 1):
        module = layers[min(layer, len(layers)) - 1]
        (linear,) = (m for n, m in module.named_modules() if n.split(".")[-1] in PROJECTIONS)
        states = features["hidden", layer - 1]
        if hasattr(module, "attn_norm"):  # ModernBERT's layers begin with their norm
            states = module.attn_norm(states)
        flat = linear(states)[..., -SHAPE.hidden :]
        value = flat.unflatten(-1, (SHAPE.heads, SHAPE.head_size)).transpose(1, 2)
        assert torch.allclose(features["value", layer], value, atol=1e-5), (
            f"value({layer}) is not what the layer computes"
        )


def test_maps_in_training_are_those_before_dropout(model):
    """The first layer's Q and K know nothing of the dropout of its own attention."""
    inputs = tiny_inputs(model)
    mask = inputs["attention_mask"].bool()
    wanted = {("query", 1), ("key", 1), ("logits", 0)}
    features = {}
    for training in (False, True):
        for name, module in model.named_modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.5 if "attn" in name or "attention" in name else 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):  # ModernBERT
                module.attention_dropout = 0.5
        model.train(training)
        with Capture(model, wanted) as capture, torch.no_grad():
            features[training] = capture(**inputs)
    assert not torch.equal(features[True]["logits", 0], features[False]["logits", 0]), "no dropout"
    maps = [maps_of(f["query", 1], f["key", 1], mask) for f in features.values()]
    assert torch.equal(*maps), "dropout shows in the map"
    assert torch.allclose(maps[1].sum(-1), torch.ones(()), atol=1e-6)


@pytest.mark.parametrize(
    "wanted",
    [
        {("logits", 0)},
        {("hidden", 0)},
        {("hidden", 2)},
        {("query", 1), ("key", 1)},
        {("value", 3), ("hidden", 0), ("logits", 0)},
        {("representation", 0), ("logits", 0)},
        {("representation", 0)},
        set(),
    ],
    ids=lambda wanted: "+".join(f"{name}{layer}" for name, layer in sorted(wanted)) or "nothing",
)
def test_only_what_is_asked_for_is_delivered(model, wanted):
    capture = Capture(model, wanted)
    with torch.no_grad():
        features = capture(**tiny_inputs(model))
    capture.close()
    assert set(features) == wanted


@pytest.mark.parametrize(
    ("wanted", "deepest"),
    [
        ({("hidden", 2)}, 2),
        ({("hidden", 1), ("query", 2)}, 1),
        ({("value", 1)}, 0),
        ({("hidden", 0)}, 0),
        ({("hidden", 3)}, 3),
        ({("hidden", 1), ("logits", 0)}, 3),
    ],
)
def test_teacher_stops_at_the_last_feature(model, wanted, deepest):
    """`deepest` is the last layer that is run to its end."""
    calls = count_layers(model)
    capture = Capture(model, wanted)
    features = capture_teacher(capture, **tiny_inputs(model))
    capture.close()
    assert set(features) == wanted
    assert len(calls) == deepest, f"{len(calls)} layers ran, {deepest} would do for {wanted}"


@pytest.mark.parametrize("arch", [*EVERY_ARCH, "deberta-v2", "mpnet", "xlm-roberta"])
def test_the_representation_is_what_the_classifier_reads(arch):
    """The classifier alone makes the logits of it, one row an example."""
    model = tiny_model(arch, **({"pad_token_id": 0} if arch == "xlm-roberta" else {})).eval()
    with torch.no_grad(), Capture(model, {("representation", 0), ("logits", 0)}) as capture:
        features = capture(**tiny_inputs(model))
    found = features["representation", 0]
    assert found.shape == (3, SHAPE.hidden)
    assert torch.equal(classifier_of(model)(found), features["logits", 0])
    assert found.std(0).max() > 0, "all examples are the same"


def test_teacher_forwarded_twice_is_equal(model):
    model.eval()
    inputs = tiny_inputs(model)
    capture = Capture(model, EVERYTHING)
    first, second = (capture_teacher(capture, **inputs) for _ in range(2))
    capture.close()
    for key, tensor in first.items():
        assert torch.equal(tensor, second[key]), f"{key}: another forward, another value: dropout"


def test_teacher_features_are_constants_that_a_loss_can_use(model):
    """Made under inference_mode, yet the student's backward may need them."""
    capture = Capture(model, EVERYTHING)
    features = capture_teacher(capture, **tiny_inputs(model))
    capture.close()
    for key, tensor in features.items():
        assert not tensor.requires_grad and not tensor.is_inference(), f"{key}: not a plain tensor"
        student = torch.ones_like(tensor, requires_grad=True)
        (student * tensor).sum().backward()
        assert torch.equal(student.grad, tensor)
    assert all(p.grad is None for p in model.parameters()), "the teacher has gradients"


def test_gradient_flows_through_a_training_students_features(model):
    model.train()
    capture = Capture(model, EVERYTHING)
    features = capture(**tiny_inputs(model))
    first = encoder_layers(model)[0]
    names = ("query", "q_lin", "Wqkv")
    below = [p for n, p in first.named_parameters() if n.split(".")[-2] in names]
    for key, tensor in features.items():
        assert tensor.requires_grad, f"{key}: cut off from the student"
        embeddings = model.get_input_embeddings().weight
        slope = torch.autograd.grad(tensor.square().sum(), embeddings, retain_graph=True)[0]
        assert slope.isfinite().all(), f"{key}: gradient is not finite"
        assert slope.abs().max() > 0, f"{key}: no gradient"
    slopes = torch.autograd.grad(features["query", 1].square().sum(), below)
    assert all(slope.abs().max() > 0 for slope in slopes), "Q does not reach its own projection"
    capture.close()


def test_captured_student_computes_what_it_did_before(model):
    inputs = tiny_inputs(model)
    with torch.no_grad():
        before = model(**inputs).logits
        capture = Capture(model, EVERYTHING)
        during = capture(**inputs)["logits", 0]
        capture.close()
        after = model(**inputs).logits
    assert torch.equal(before, during) and torch.equal(before, after), "capturing changes logits"


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_close_takes_everything_off(model):
    before = hooks(model)
    capture = Capture(model, EVERYTHING - {("logits", 0)})
    assert hooks(model) > before
    capture.close()
    assert hooks(model) == before, "a hook is left"
    capture._features, capture._layer = {}, 0
    with torch.no_grad():
        logits = model(**tiny_inputs(model)).logits
    assert logits.shape == (3, 2), "the closed capture still stops the model"
    assert not capture._features and capture._layer == 0, "the closed capture still listens"


@every_arch
def test_a_closed_capture_keeps_no_model_in_memory(arch):
    """A teacher that has stored its outputs makes room for the training."""
    model = tiny_model(arch).eval()
    with Capture(model, EVERYTHING) as capture:
        capture_teacher(capture, **tiny_inputs(model))
    alive = weakref.ref(model)
    del model, capture
    gc.collect()
    assert alive() is None


def test_close_gives_a_model_its_own_attention_back(model):
    model.set_attn_implementation("eager")
    with Capture(model, {("query", 1)}):
        assert model.config._attn_implementation != "eager"
    assert model.config._attn_implementation == "eager"


def test_capture_can_be_opened_again(model):
    inputs = tiny_inputs(model)
    results = []
    for _ in range(2):
        capture = Capture(model, {("query", 2)})
        results.append(capture_teacher(capture, **inputs)["query", 2])
        capture.close()
    assert torch.equal(*results)


@every_arch
def test_student_and_teacher_do_not_mix(arch):
    """Captured turn by turn, each with its own layers, they give what they give alone."""
    student, teacher = tiny_model(arch, seed=1).eval(), tiny_model(arch, seed=2).eval()
    inputs = tiny_inputs(student)
    alone = {}
    for side, model in (("student", student), ("teacher", teacher)):
        capture = Capture(model, EVERYTHING)
        alone[side] = capture_teacher(capture, **inputs)
        capture.close()

    read_student = Capture(student, {("query", 1), ("hidden", 2), ("logits", 0)})
    read_teacher = Capture(teacher, {("query", 1), ("key", 3), ("hidden", 2)})
    for _ in range(2):
        taught, learnt = capture_teacher(read_teacher, **inputs), read_student(**inputs)
        for side, features in (("student", learnt), ("teacher", taught)):
            for key, tensor in features.items():
                assert torch.equal(tensor, alone[side][key]), f"{side}'s {key} is not its own"
    assert not torch.equal(learnt["query", 1], taught["query", 1])
    read_teacher.close()
    assert torch.equal(read_student(**inputs)["query", 1], alone["student"]["query", 1]), (
        "closing the teacher's capture disturbs the student's"
    )
    read_student.close()


def test_features_are_not_kept_between_batches(model):
    """A second, shorter batch gives features of its own length."""
    capture = Capture(model, EVERYTHING)
    capture_teacher(capture, **tiny_inputs(model))
    short = capture_teacher(capture, **tiny_inputs(model, (2, 2), seed=1))
    assert capture._features == {}, "features outlive the call"
    capture.close()
    assert {t.shape[0] for t in short.values()} == {2}
    assert short["query", 1].shape == (2, SHAPE.heads, 2, SHAPE.head_size)


def test_layers_that_are_not_as_many_as_the_config_says_are_a_sentence():
    model = tiny_model("bert")
    model.config.num_hidden_layers = 5
    with pytest.raises(UserError, match="BertForSequenceClassification: its 5 layers were not fou"):
        Capture(model, {("hidden", 1)})


OBSTRUCTED = [arch for arch in ARCHS if attention_obstacle(arch)]


@pytest.mark.parametrize("arch", OBSTRUCTED)
def test_an_encoder_whose_attention_cannot_be_captured_is_a_sentence(arch):
    model = tiny_model(arch).eval()
    before = hooks(model)
    with pytest.raises(UserError, match=f"{arch} adds .*AttentionInterface: it cannot be captured"):
        Capture(model, {("logits", 0), ("key", 2)})
    assert hooks(model) == before, "hooks are left"


def test_attention_that_is_not_seen_is_a_sentence():
    model = tiny_model("bert").eval()
    capture = Capture(model, {("query", 1)})
    model.set_attn_implementation("sdpa")  # as of an encoder that goes its own way
    with pytest.raises(UserError, match="query seen in layer 1"):
        capture(**tiny_inputs(model))
    capture.close()


@pytest.mark.parametrize("wanted", [("hidden", 1), ("representation", 0)])
def test_a_model_that_is_called_by_itself_is_not_captured(wanted):
    """As for a dev score during a training."""
    model = tiny_model().eval()
    inputs = tiny_inputs(model)
    logits = model(**inputs).logits
    with Capture(model, {wanted}) as capture:
        assert torch.equal(model(**inputs).logits, logits)
        assert set(capture(**inputs)) == {wanted}
        assert torch.equal(model(**inputs).logits, logits)
