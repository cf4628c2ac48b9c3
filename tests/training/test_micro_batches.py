"""A batch in pieces gives the loss and the gradient of the whole batch, for every term."""

import itertools
import pkgutil

import pytest
import torch
from helpers import EVERY_ARCH, tiny_inputs, tiny_model
from trainings import IDENTITY, DyingAt, Training, differs, make_split, term

from kd.axes.architectures import attention_obstacle
from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS, resolve_mapping
from kd.axes.terms import matchings_of
from kd.encoders.capture import Capture
from kd.encoders.micro_batches import in_micro_batches
from kd.losses.objective import Objective
from kd.runtime.errors import UserError
from kd.runtime.signals import Stopped
from kd.training.checkpoint import Checkpoint


@pytest.mark.parametrize("arch", EVERY_ARCH)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_features_and_gradients_are_those_of_the_whole(arch, size):
    model = tiny_model(arch).eval()
    inputs = tiny_inputs(model, (7, 3, 5, 6, 2))
    wanted = {("logits", 0), ("hidden", 1), ("hidden", 3)}
    if not attention_obstacle(model.config.model_type):
        wanted |= {("query", 2), ("value", 3)}
    found = []
    with Capture(model, wanted) as capture:
        for micro_batch in (5, size):
            model.zero_grad()
            features = in_micro_batches(capture, inputs, micro_batch)
            # A gradient of one part first, as calibrated weights ask for it.
            part = features["hidden", 1].square().mean()
            first, *_ = torch.autograd.grad(
                part, list(model.parameters()), retain_graph=True, allow_unused=True
            )
            sum(f.square().mean() for f in features.values()).backward()
            grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            found.append((features, {**grads, "first": first}))
    for one, two in zip(*found, strict=True):
        assert one.keys() == two.keys()
        for name in one:
            assert torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-6), name


def test_the_dropout_of_every_device_of_a_batch_is_repeated(monkeypatch):
    """torch repeats the random numbers of the devices that it finds among these arguments. On a
    CPU they are repeated in any case; test_gpu.py compares the gradients."""
    model = tiny_model("bert").train()
    seen = []
    infer = torch.utils.checkpoint._infer_device_type
    monkeypatch.setattr(
        torch.utils.checkpoint, "_infer_device_type", lambda *a: seen.append(a) or infer(*a)
    )
    with Capture(model, {("logits", 0)}) as capture:
        in_micro_batches(capture, tiny_inputs(model, (7, 3, 5, 6)), 2)["logits", 0].sum().backward()
    assert len(seen) >= 2
    assert all(args and all(isinstance(a, torch.Tensor) for a in args) for args in seen)


def out_of_memory_above(monkeypatch, most: int) -> list[int]:
    """A device that holds `most` examples; the sizes that were tried."""
    tried: list[int] = []
    forward = Capture.__call__

    def limited(self, **inputs):
        tried.append(len(inputs["input_ids"]))
        if tried[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, **inputs)

    monkeypatch.setattr(Capture, "__call__", limited)
    return tried


EVERY_MATCHING = [
    (name, matching) for name in KNOWLEDGE for matching in matchings_of(name, CLASSES)
]


@pytest.mark.parametrize(("name", "matching"), EVERY_MATCHING)
@pytest.mark.slow
def test_every_matching_is_trained_as_with_more_memory(tmp_path, monkeypatch, name, matching):
    """Also those that relate the examples of a batch; without dropout, which is drawn by piece."""
    taught = term(name, matching=matching)
    whole = Training(tmp_path, taught, student_dropout=0.0, epochs=0.5)
    tried = out_of_memory_above(monkeypatch, 3)
    small = Training(tmp_path, taught, student_dropout=0.0, epochs=0.5)
    assert (whole.result.micro_batch, small.result.micro_batch) == (8, 2)
    assert tried.count(8) == 1 and tried.count(4) == 1, "what has no room is not tried again"
    assert small.result.steps == whole.result.steps
    assert small.result.examples == whole.result.examples
    for one, two in itertools.zip_longest(whole.history, small.history):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-6)


def test_with_dropout_too_memory_decides_nothing_but_the_draw(tmp_path, monkeypatch):
    out_of_memory_above(monkeypatch, 4)
    one, two = (Training(tmp_path, term("logits"), weights="calibrated") for _ in range(2))
    assert one.result.micro_batch == 4
    assert one.history == two.history, "the same limit, two outcomes"


def test_an_odd_batch_is_halved_upwards(tmp_path, monkeypatch):
    tried = out_of_memory_above(monkeypatch, 2)
    assert Training(tmp_path, batch_size=5).result.micro_batch == 2
    assert tried[:3] == [5, 3, 2]


@pytest.mark.parametrize("place", ["Objective.total", "_largest_logits"])
def test_a_failed_try_leaves_neither_gradients_nor_random_numbers(tmp_path, monkeypatch, place):
    """Memory runs out in the second step: before anything was drawn, or after it, or at its end."""

    def trained(where):
        function, calls = pkgutil.resolve_name(where), []

        def failing(*args, **more):
            calls.append(args)
            if len(calls) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return function(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(where, failing)
            training = Training(tmp_path, epochs=0.75)
        assert (len(calls), training.result.micro_batch) == (4, 4)
        return training

    before, after = (trained(f"kd.training.gradients.{p}") for p in ("model_inputs", place))
    assert before.history == after.history
    assert not differs(before.state(), after.state())


def test_a_resumed_training_does_not_try_again_what_had_no_room(tmp_path, monkeypatch):
    tried = out_of_memory_above(monkeypatch, 4)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        Training(tmp_path, checkpoint=DyingAt(path, 3))
    tried.clear()
    resumed = Training(tmp_path, checkpoint=Checkpoint(path, IDENTITY))
    assert resumed.result.micro_batch == 4 and set(tried) <= {4, 2}


def test_an_example_too_large_for_the_device_is_a_sentence(tmp_path, monkeypatch):
    out_of_memory_above(monkeypatch, 0)
    with pytest.raises(UserError, match="out of memory on the device with one example at a time"):
        Training(tmp_path, split=make_split())


@pytest.mark.parametrize("mapping", [name for name, row in MAPPINGS.items() if row.moving])
def test_memory_that_runs_out_after_the_losses_leaves_moving_pairs_as_they_were(
    tmp_path, monkeypatch, mapping
):
    """The layer weights of `emd` move with every loss; a step that is tried again counts once."""
    taught = term("hidden", resolve_mapping(mapping, 3, 2, 1), moving=mapping)
    settings = {"student_dropout": 0.0, "epochs": 0.75}
    whole = Training(tmp_path, taught, **settings)
    total, calls = Objective.total, []

    def failing(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return total(self, *args)

    monkeypatch.setattr(Objective, "total", failing)
    small = Training(tmp_path, taught, **settings)
    assert (len(calls), small.result.micro_batch) == (4, 4)
    moved = dict(whole.objective.named_buffers())
    assert bool(moved) == (mapping == "emd")
    for name, buffer in small.objective.named_buffers():
        torch.testing.assert_close(buffer, moved[name], rtol=1e-4, atol=1e-6)
    for one, two in zip(whole.history, small.history, strict=True):
        assert two == pytest.approx(one, rel=1e-3)
