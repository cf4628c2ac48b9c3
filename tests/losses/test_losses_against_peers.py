"""The losses that TextBrewer and torchdistill have too, on the same tensors.

Values and gradients agree after a stated change of scale. Both libraries are optional: see the
extra `peers` in pyproject.toml.
"""

import importlib
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from kd.losses import attention, logits, relations, temperature, vectors
from kd.losses.table import LOSSES as FUNCTIONS

pytestmark = pytest.mark.peers

B, L, H, HEADS, CLASSES, TAU = 5, 6, 8, 3, 4, 2.5


@pytest.fixture(scope="module")
def brewer() -> Any:
    """TextBrewer's formulas."""
    return importlib.import_module("textbrewer.losses")


@pytest.fixture(scope="module")
def distill() -> Callable[..., Callable[[Tensor, Tensor], Tensor]]:
    """torchdistill's losses by class name, as functions of the student's and teacher's tensor."""
    module = importlib.import_module("torchdistill.losses.mid_level")

    def build(name: str, targets: Tensor | None = None, **options: Any) -> Any:
        names = {key: "x" for key in ("student_output_path", "teacher_output_path")}
        if name in ("KDLoss", "DISTLoss", "LogitStdKDLoss"):
            names = {f"{side}_module_path": "x" for side in ("student", "teacher")}
            names |= {f"{side}_module_io": "output" for side in ("student", "teacher")}
        loss = getattr(module, name)(**names, **options)
        return lambda s, t: loss({"x": {"output": s}}, {"x": {"output": t}}, targets)

    return build


def tensor(*shape: int, seed: int) -> Tensor:
    return 1.5 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    return tensor(*shape, seed=0), tensor(*shape, seed=1)


def ragged() -> Tensor:
    return torch.arange(L) < torch.tensor([6, 3, 1, 5, 2])[:, None]


def agree(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Tensor], Tensor], student: Tensor
) -> None:
    """The same value and the same gradient on the student."""
    found, wanted = ours(student), theirs(student)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4), "another value"
    slopes = []
    for function in (ours, theirs):
        x = student.clone().requires_grad_()
        slopes += torch.autograd.grad(function(x), x)
    assert slopes[0].abs().max() > 1e-4
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-3, atol=1e-5), "another gradient"


# --- TextBrewer -----------------------------------------------------------------------------------


def test_soft_labels_are_textbrewers_times_tau_squared(brewer):
    s, t = pair(B, CLASSES)
    agree(lambda x: logits.logits_ce(x, t, TAU), lambda x: TAU**2 * brewer.kd_ce_loss(x, t, TAU), s)
    p = F.softmax(t / TAU, -1)
    entropy = -(p * p.log()).sum(-1).mean()
    agree(
        lambda x: logits.logits_kl(x, t, TAU) / TAU**2 + entropy,
        lambda x: brewer.kd_ce_loss(x, t, TAU),
        s,
    )


def test_temperatures_of_single_examples_are_textbrewers(brewer):
    s, t = pair(B, CLASSES)
    taus = torch.linspace(1, 5, B)
    agree(
        lambda x: logits.logits_ce(x, t, taus),
        lambda x: torch.stack(
            [
                tau**2 * brewer.kd_ce_loss(x[i : i + 1], t[i : i + 1], taus[i : i + 1])
                for i, tau in enumerate(taus)
            ]
        ).mean(),
        s,
    )


def test_logits_mse_is_textbrewers_times_tau_squared(brewer):
    s, t = pair(B, CLASSES)
    agree(lambda x: logits.logits_mse(x, t), lambda x: TAU**2 * brewer.kd_mse_loss(x, t, TAU), s)


@pytest.mark.parametrize(
    ("name", "peer"), [("token_mse", "hid_mse_loss"), ("token_cosine", "cos_loss")]
)
def test_token_losses_are_textbrewers(brewer, name, peer):
    (s, t), mask = pair(B, L, H), ragged()
    agree(
        lambda x: FUNCTIONS[name](x, t, mask),
        lambda x: getattr(brewer, peer)(x, t, mask),
        s,
    )


def test_gram_is_textbrewers_fsp_of_one_layer(brewer):
    (s, t), mask = pair(B, L, H), ragged()
    agree(
        lambda x: vectors.token_gram(x, t, mask),
        lambda x: brewer.fsp_loss([x, x], [t, t], mask),
        s,
    )


def test_nst_is_textbrewers_mmd(brewer):
    """Which divides by the width without a mask, and by the length with one."""
    (s, t), mask = pair(B, L, H), ragged()
    narrow = tensor(B, L, H // 2, seed=2)
    agree(
        lambda x: vectors.token_nst(x, t, torch.ones_like(mask)),
        lambda x: brewer.mmd_loss([x, x], [t, t]),
        narrow,
    )
    agree(
        lambda x: (H / L) ** 2 * vectors.token_nst(x, t, mask),
        lambda x: brewer.mmd_loss([x, x], [t, t], mask),
        s,
    )


def test_normalised_mse_is_textbrewers_pkd(brewer):
    s, t = pair(B, L, H)
    agree(
        lambda x: vectors.vector_normalised_mse(x[:, 0], t[:, 0]),
        lambda x: brewer.pkd_loss(x, t),
        s,
    )


def test_score_losses_are_textbrewers_over_the_heads(brewer):
    """Which is h^2 times as large where it adds up the heads' scores instead of averaging them."""
    (s, t), mask = pair(B, HEADS, L, L), ragged()
    agree(
        lambda x: attention.score_mse(x, t, mask),
        lambda x: brewer.att_mse_loss(x, t, mask),
        s,
    )
    agree(
        lambda x: HEADS**2 * attention.score_head_mean_mse(x, t, mask),
        lambda x: brewer.att_mse_sum_loss(x, t, mask),
        s,
    )


def test_map_kl_is_textbrewers_attention_ce_less_the_entropy(brewer):
    """Which softmaxes over padding too, unless the scores there are low."""
    (s, t), mask = pair(B, HEADS, L, L), ragged()
    s, t = (x.masked_fill(~mask[:, None, None, :], -1e4) for x in (s, t))
    agree(
        lambda x: attention.map_kl(x, t, mask),
        lambda x: brewer.att_ce_loss(x, t, mask) - brewer.att_ce_loss(t, t, mask),
        s,
    )


def test_temperature_schedules_are_textbrewers(brewer):
    """Which adds 1e-4 to norms, and 1e-3 to probabilities that are at least 1/4 here."""
    schedulers = importlib.import_module("textbrewer.schedulers")
    s, t = pair(64, CLASSES)
    for ours, theirs in [
        (temperature.flsw_temperature, schedulers.flsw_temperature_scheduler_builder(1, 1)),
        (temperature.cwsm_temperature, schedulers.cwsm_temperature_scheduler_builder(1)),
    ]:
        found, wanted = ours(s, t, 8.0), theirs(s, t, 8.0)
        assert found.std() > 0.1
        assert torch.allclose(found, wanted, atol=1e-3 * CLASSES**2)


def test_probability_shift_is_textbrewers(brewer):
    utils = importlib.import_module("textbrewer.distiller_utils")
    t, labels = tensor(64, CLASSES, seed=3), torch.arange(64) % CLASSES
    ours = temperature.probability_shift(t, labels)
    assert not ours.equal(t)
    assert ours.equal(utils.probability_shift_(t.clone(), labels))


# --- torchdistill ---------------------------------------------------------------------------------


def test_soft_labels_are_torchdistills(distill):
    """Given targets: without them it drops tau^2 with the hard loss."""
    s, t = pair(B, CLASSES)
    labels = torch.arange(B) % CLASSES
    theirs = distill("KDLoss", labels, temperature=TAU, alpha=0.3)
    agree(
        lambda x: 0.3 * F.cross_entropy(x, labels) + 0.7 * logits.logits_kl(x, t, TAU),
        lambda x: theirs(x, t),
        s,
    )


def test_dist_is_torchdistills(distill):
    s, t = pair(B, CLASSES)
    theirs = distill("DISTLoss", tau=TAU)
    agree(lambda x: logits.logits_dist(x, t, TAU), lambda x: theirs(x, t), s)


def test_logit_standardisation_is_torchdistills_at_another_temperature(distill):
    """Which divides by the deviation of a sample, sqrt(C / (C - 1)) times ours."""
    s, t = pair(B, CLASSES)
    labels = torch.arange(B) % CLASSES
    theirs = distill("LogitStdKDLoss", labels, temperature=TAU, alpha=1e-9, beta=1.0)
    wider = math.sqrt(CLASSES / (CLASSES - 1))
    agree(lambda x: logits.logits_std(x, t, wider * TAU) / wider**2, lambda x: theirs(x, t), s)


def test_relational_losses_are_torchdistills_over_all_pairs_and_triples(distill):
    """Which averages over B^2 and B^3 entries, those of an example with itself included."""
    s, t = tensor(B, H // 2, seed=0), tensor(B, H, seed=1)
    distance = distill("RKDLoss", dist_factor=1.0, angle_factor=0.0, reduction="mean")
    agree(lambda x: (B - 1) / B * relations.vector_rkd_distance(x, t), lambda x: distance(x, t), s)
    angle = distill("RKDLoss", dist_factor=0.0, angle_factor=1.0, reduction="mean")
    agree(
        lambda x: (B - 1) * (B - 2) / B**2 * relations.vector_rkd_angle(x, t),
        lambda x: angle(x, t),
        s,
    )


def test_similarity_preserving_is_torchdistills_but_for_the_norm(distill, monkeypatch):
    """Which passes the axis as the order of the norm, and so divides each row by its L1 norm."""
    s, t = tensor(B, H // 2, seed=0), tensor(B, H, seed=1)
    theirs = distill("SPKDLoss", reduction="batchmean")
    ours = relations.vector_sp(s, t).item()
    assert theirs(s, t).item() != pytest.approx(ours, rel=0.1), "torchdistill has mended its norm"
    monkeypatch.setattr("torchdistill.losses.mid_level.normalize", lambda x, _: F.normalize(x))
    agree(lambda x: relations.vector_sp(x, t), lambda x: theirs(x, t), s)
