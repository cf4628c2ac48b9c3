"""What `capture` reads, against what the same encoder says of itself with eager attention."""

import copy
import math
from collections import Counter

import pytest
import torch
from helpers import ARCHS, SHAPE, tiny_inputs, tiny_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from kd.capture import ATTENTION_FEATURES, Capture, capture_teacher, encoder_layers
from kd.errors import UserError

every_arch = pytest.mark.parametrize("arch", ARCHS)
EVERYTHING = (
    {("logits", 0)}
    | {("hidden", layer) for layer in range(SHAPE.layers + 1)}
    | {(name, layer) for name in ATTENTION_FEATURES for layer in range(1, SHAPE.layers + 1)}
)


def eager_twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights with the attention that can return its maps."""
    config = copy.deepcopy(model.config)  # a capture changes the attention that it names
    twin = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    return twin.eval()


def count_layers(model: PreTrainedModel) -> Counter[int]:
    """Counts, from now on, how often each layer (1-based) is run."""
    calls: Counter[int] = Counter()
    for index, layer in enumerate(encoder_layers(model), start=1):
        layer.register_forward_hook(lambda *_, index=index: calls.update([index]))
    return calls


@pytest.fixture(params=ARCHS)
def model(request):
    return tiny_model(request.param).eval()


def test_features_are_those_of_the_eager_encoder(model):
    twin, inputs = eager_twin(model), tiny_inputs(model)
    mask = inputs["attention_mask"].bool()
    capture = Capture(model, EVERYTHING)
    with torch.no_grad():
        wanted = twin(**inputs, output_hidden_states=True, output_attentions=True)
        features = capture(**inputs)
    capture.close()
    assert len(wanted.hidden_states) == SHAPE.layers + 1, "the reference is incomplete"
    assert len(wanted.attentions) == SHAPE.layers, "the reference is incomplete"

    assert torch.allclose(features["logits", 0], wanted.logits, atol=1e-5), "logits differ"
    for layer, states in enumerate(wanted.hidden_states):
        found = features["hidden", layer]
        assert torch.allclose(found[mask], states[mask], atol=1e-5), f"hidden({layer}) differs"
    for layer, maps in enumerate(wanted.attentions, start=1):
        query, key = features["query", layer], features["key", layer]
        scores = query @ key.mT / math.sqrt(SHAPE.head_size)
        found = scores.masked_fill(~mask[:, None, None], -math.inf).softmax(-1)
        rows = mask[:, None, :].expand(maps.shape[:-1])
        assert torch.allclose(found[rows], maps[rows], atol=1e-5), f"attention({layer}) differs"
        assert maps[rows].std() > 0.05, "the maps are uniform: this test would see no difference"


def test_values_are_the_layers_own_projection(model):
    """Heads first: (B, h, L, d), from the hidden states below."""
    inputs = tiny_inputs(model)
    capture = Capture(model, EVERYTHING)
    with torch.no_grad():
        features = capture(**inputs)
        for layer, module in enumerate(encoder_layers(model), start=1):
            linears = {name.split(".")[-1]: m for name, m in module.named_modules()}
            linear = linears.get("value") or linears["v_lin"]
            flat = linear(features["hidden", layer - 1])
            value = flat.unflatten(-1, (SHAPE.heads, SHAPE.head_size)).transpose(1, 2)
            assert torch.allclose(features["value", layer], value, atol=1e-5), (
                f"value({layer}) is not what the layer computes"
            )
    capture.close()


@pytest.mark.parametrize(
    "wanted",
    [
        {("logits", 0)},
        {("hidden", 0)},
        {("hidden", 2)},
        {("query", 1), ("key", 1)},
        {("value", 3), ("hidden", 0), ("logits", 0)},
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
        ({("hidden", 1), ("query", 2)}, 2),
        ({("value", 1)}, 1),
        ({("hidden", 0)}, 1),
        ({("hidden", 1), ("logits", 0)}, 3),
    ],
)
def test_teacher_stops_after_the_deepest_layer(model, wanted, deepest):
    calls = count_layers(model)
    capture = Capture(model, wanted)
    features = capture_teacher(capture, **tiny_inputs(model))
    capture.close()
    assert set(features) == wanted
    assert max(calls) <= deepest, f"layers {sorted(calls)} ran, {deepest} would do for {wanted}"
    assert set(calls.values()) == {1}, "a layer ran more than once"


def test_teacher_forwarded_twice_is_equal_and_stays_in_eval(model):
    model.train()
    inputs = tiny_inputs(model)
    capture = Capture(model, EVERYTHING)
    first, second = (capture_teacher(capture, **inputs) for _ in range(2))
    capture.close()
    assert not any(module.training for module in model.modules()), "the teacher trains"
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
    below = [p for n, p in first.named_parameters() if n.split(".")[-2] in ("query", "q_lin")]
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
    seen: list[Tensor] = []
    capture._tap = lambda index: lambda *tensors: seen.extend(tensors)  # type: ignore[method-assign]
    capture._features = {}
    with torch.no_grad():
        logits = model(**tiny_inputs(model)).logits
    assert logits.shape == (3, 2), "the closed capture still stops the model"
    assert not capture._features and not seen, "the closed capture still listens"


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


def test_attention_that_cannot_be_seen_is_a_sentence():
    model = tiny_model("bert").eval()
    capture = Capture(model, {("query", 1)})
    model.set_attn_implementation("sdpa")  # as of an encoder that goes its own way
    with pytest.raises(UserError, match="query seen in layer 1"):
        capture(**tiny_inputs(model))
    capture.close()
