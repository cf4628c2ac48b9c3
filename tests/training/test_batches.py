"""Batches that are loaded ahead, and steps that never wait for the device."""

import threading

import pytest
import torch
from helpers import EVERY_ARCH, tiny_inputs, tiny_model
from trainings import NARROW, SHAPE, TERMS, Training, differs, make_objective, make_split, term

from kd.axes.knowledge import KNOWLEDGE
from kd.axes.terms import taught_keys
from kd.data.tokens import Split
from kd.encoders import capture
from kd.encoders.capture import Capture
from kd.losses.moving import Moment
from kd.teacher import features as features_module
from kd.teacher.features import TeacherFeatures
from kd.training import gradients as gradients_module
from kd.training import loop
from kd.training.batches import load, load_rows, one_ahead
from kd.training.gradients import Gradients

CPU, META = torch.device("cpu"), torch.device("meta")


def test_a_thread_loads_the_next_one_while_the_last_is_used():
    loaded, threads = [], set()

    def loader(number):
        loaded.append(number)
        threads.add(threading.current_thread())
        if number == 3:
            raise ValueError("of the third")
        return -number

    seen, came = [], one_ahead(range(1, 9), loader, ahead=True)
    with pytest.raises(ValueError, match="of the third"):
        for value in came:
            seen.append(value)
    assert seen == [-1, -2], "in order; an error when its turn has come"
    assert len(loaded) <= 4, "no more than one ahead"
    assert threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)
    assert list(one_ahead([1, 2], loader, ahead=False)) == [-1, -2]


def test_a_training_that_loads_ahead_has_the_same_bits(tmp_path, monkeypatch):
    wanted = Training(tmp_path, *TERMS[:2], epochs=1)
    monkeypatch.setattr(loop, "one_ahead", lambda items, make, ahead: one_ahead(items, make, True))
    found = Training(tmp_path, *TERMS[:2], epochs=1)
    assert not differs(wanted.state(), found.state()) and wanted.history == found.history


def test_a_batch_is_padded_as_far_as_is_asked():
    split, rows = make_split(), torch.arange(8)
    longest = int(split.lengths[rows].max())
    for pad_to, length in ((None, longest), (longest + 5, longest + 5)):
        made = load(split, rows, None, CPU, None, 0, pad_to)
        assert made.batch["input_ids"].shape == (8, length) and made.length == length
        assert load_rows(split, rows, META, longest + 5).length == longest + 5


def test_a_batch_knows_whether_it_is_padded():
    split = make_split()
    length = int(split.lengths[0])
    same = (split.lengths == length).nonzero()[:, 0]
    for rows, padded in ((same, False), (torch.arange(8), True)):
        made = load(split, rows, None, CPU, lambda batch, seed: batch | {"seed": seed}, 5)
        assert made.padded == padded and "ids" not in made.batch and made.batch["seed"] == 5
        assert torch.equal(made.batch["input_ids"], split.batch(rows)["input_ids"])


@pytest.mark.parametrize("arch", EVERY_ARCH)
def test_a_batch_without_padding_needs_no_mask(arch):
    """On a GPU it comes without: a mask would be asked whether it hides anything."""
    model = tiny_model(arch).eval()
    inputs = tiny_inputs(model, (6, 6, 6))
    with Capture(model, {("hidden", 2), ("logits", 0)}) as found, torch.no_grad():
        masked = found(**inputs)
        del inputs["attention_mask"]
        assert not differs(masked, found(**inputs))


@pytest.fixture
def on_meta(monkeypatch):
    """Tensors without values: to ask for one, as a step does that waits, is an error."""

    def move(batch, device):
        return {name: tensor.to(device) for name, tensor in batch.items()}

    for module in (gradients_module, features_module):
        monkeypatch.setattr(module, "to_device", move)
    monkeypatch.setattr(capture, "frozen", lambda *_: torch.inference_mode())  # no autocast


@pytest.mark.parametrize("padded", [False, True])
def test_no_step_waits_for_the_device(on_meta, padded):
    split: Split = make_split()
    rows = torch.arange(8) if padded else (split.lengths == split.lengths[0]).nonzero()[:, 0]
    terms = tuple(term(name) for name in (KNOWLEDGE if padded else ["logits", "attention"]))
    objective = make_objective(*terms).to(META)
    student = tiny_model(shape=NARROW).to(META).train()
    teacher = TeacherFeatures(taught_keys(terms), None, tiny_model(shape=SHAPE), META)
    with Gradients(student, objective, teacher, split, "fp32", META) as gradients:
        losses, logits = gradients(gradients.load(rows, 1), Moment(0, 8, 0, 1), len(rows))
    assert len(losses) == len(terms) + 2 and len(logits) == 2
    assert all(parameter.grad is not None for parameter in objective.parameters())
