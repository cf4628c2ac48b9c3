"""The loss in a loop of one's own: it is that of a run, and two models are all that it needs."""

import pytest
import torch
from helpers import SHAPE, tiny_inputs, tiny_model
from torch.nn import functional as F

import kd
from kd import Distillation
from kd.axes.shapes import Shape
from kd.losses import term
from kd.runtime.errors import UserError

NARROW = Shape(layers=2, hidden=12, heads=2, ffn=20)


@pytest.fixture
def models():
    return tiny_model(shape=NARROW, seed=1).train(), tiny_model(seed=2).train()


def batch_of(model, labels=(0, 1, 1)):
    return {**tiny_inputs(model), "labels": torch.tensor(labels)}


def test_the_loss_of_logits_is_that_of_the_formula(models):
    student, teacher = (model.eval() for model in models)
    batch = batch_of(teacher)
    with Distillation(student, teacher, temperature=3, hard_weight=0.5) as distillation:
        loss = distillation(batch)
    inputs = {k: v for k, v in batch.items() if k != "labels"}
    with torch.no_grad():
        s, t = student(**inputs).logits, teacher(**inputs).logits
    soft = 9 * F.kl_div((s / 3).log_softmax(-1), (t / 3).softmax(-1), reduction="batchmean")
    hard = F.cross_entropy(s, batch["labels"])
    assert loss.item() == pytest.approx((soft + 0.5 * hard).item(), rel=1e-5)
    assert distillation.parts["logits:kl"].item() == pytest.approx(soft.item(), rel=1e-5)


@pytest.mark.parametrize("knowledge", ["hidden:word-relation", "hidden:cka", "logits"])
def test_losses_are_in_fp32_under_autocast_too(models, knowledge):
    """Of features in bf16; products of matrices would be rounded again."""
    teacher, seen = models[1], []
    for one in models:
        one.eval()
    with Distillation(*models, knowledge, hard_weight=0) as distillation:
        objective = distillation.objective
        objective.register_forward_pre_hook(lambda module, args: seen.append(args))
        with torch.autocast("cpu", torch.bfloat16):
            loss = distillation(batch_of(teacher))
    wanted, _ = objective(*seen[0])
    assert loss.dtype == torch.float32 and loss.item() == wanted.item()


def test_only_projections_are_its_own_parameters(models):
    with Distillation(*models, "logits+hidden@uniform") as distillation:
        shapes = {tuple(p.shape) for p in distillation.parameters()}
    assert shapes == {(SHAPE.hidden, NARROW.hidden), (SHAPE.hidden,)}


def test_the_gradient_reaches_student_and_projections_and_no_teacher(models):
    student, teacher = models
    with Distillation(*models, "hidden+attention:head-mean-kl", hard_weight=0) as distillation:
        distillation(batch_of(teacher)).backward()
    assert not teacher.training and all(p.grad is None for p in teacher.parameters())
    assert all(p.grad.norm() > 0 for p in distillation.parameters() if p.dim() > 1)
    assert student.base_model.encoder.layer[0].output.dense.weight.grad.norm() > 0


def test_the_teacher_has_dropout_where_that_erratum_asks_for_it(models):
    student, teacher = models
    found = {}
    for errata in ("none", "teacher-in-training"):
        with Distillation(*models, hard_weight=0, errata=errata) as distillation:
            assert teacher.training == (errata != "none")
            student.eval()
            found[errata] = {distillation(batch_of(teacher)).item() for _ in range(3)}
    assert len(found["none"]) == 1 and len(found["teacher-in-training"]) == 3


def test_two_kinds_of_encoder_share_a_loop():
    student = tiny_model("roberta", NARROW, pad_token_id=0)
    teacher = tiny_model("distilbert")
    with Distillation(student, teacher, "hidden@last+value-relation@last") as distillation:
        assert distillation(batch_of(teacher)).isfinite()


def test_models_have_their_own_attention_back(models):
    before = [model.config._attn_implementation for model in models]
    with Distillation(*models, "attention:head-mean-kl") as distillation:
        assert [model.config._attn_implementation for model in models] != before
        distillation(batch_of(models[1]))
    assert [model.config._attn_implementation for model in models] == before


def test_a_weight_that_changes_counts_the_steps(models):
    batch = batch_of(models[1])
    models[0].eval()
    with Distillation(*models, "logits*0..1", hard_weight=1, steps=4) as distillation:
        first, second = (distillation(batch) for _ in range(2))
        parts = distillation.parts
    assert first.item() == pytest.approx(parts["hard"].item(), rel=1e-5)
    assert (second - first).item() == pytest.approx(0.25 * parts["logits:kl*0..1"].item(), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"temprature": 2}, "did you mean temperature"),
        ({"temperature": -1}, "temperature: found -1"),
        ({"knowledge": "logit"}, "knowledge type 'logit'"),
        ({"knowledge": "attention:mse"}, "head with head"),
        ({"knowledge": "logits*0..1"}, "it changes during the training, so it needs `steps`"),
        ({"knowledge": "hidden@random-in-block"}, "so it needs `steps`"),
        ({"knowledge": "hidden@random-per-epoch", "steps": 9}, "so it needs `steps_per_epoch`"),
    ],
)
def test_what_has_no_meaning_is_one_sentence(models, arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        Distillation(*models, **arguments)


def test_the_number_of_labels_must_agree(models):
    with pytest.raises(UserError, match="the student has 2 labels and the teacher 3"):
        Distillation(models[0], tiny_model(labels=3))


def test_the_package_exports_it_and_nothing_else():
    assert kd.__all__ == ["Distillation"]
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = kd.Nothing


def test_a_mapping_is_drawn_again_in_each_epoch(models, monkeypatch):
    batch, drawn = batch_of(models[1]), []
    active = term.active_pairs
    monkeypatch.setattr(
        term, "active_pairs", lambda *given: drawn.append(active(*given)) or drawn[-1]
    )
    with Distillation(
        *models, "hidden@random-per-epoch", steps=60, steps_per_epoch=3
    ) as distillation:
        for _ in range(60):
            distillation(batch)
    count = len(drawn) // 20
    epochs = [set(drawn[start : start + count]) for start in range(0, len(drawn), count)]
    assert all(len(own) == 1 for own in epochs) and len(set.union(*epochs)) > 1
