"""Steps that are replayed: when, and that a training with them has the same bits.

A CPU has no CUDA graphs. Here a captured step is the step itself, called again. test_gpu.py has the
real ones.
"""

import pytest
import torch
from slow import slow
from trainings import Training, differs, term

from kd.training import graphs, loop

TWO = (term("logits"), term("hidden"))


class Counted(graphs.Graphs):
    last: "Counted"

    def __init__(self, gradients):
        super().__init__(gradients)
        Counted.last = self


def train(monkeypatch, tmp_path, *terms, captured=lambda step, pool: (step, None), **changed):
    """A training of ordinary steps, and the same with steps that are replayed."""
    plain = Training(tmp_path, *terms, **changed)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "Graphs", Counted)
        patch.setattr(loop, "graphs_wanted", lambda device: True)
        patch.setattr(graphs, "captured", captured)
        again = Training(tmp_path, *terms, **changed)
    assert not differs(plain.state(), again.state())
    assert plain.history == again.history
    return Counted.last


@pytest.mark.parametrize(
    "case",
    [
        ((*TWO, term("attention")), {}),
        *slow(
            ((), {}),
            (TWO, {"weights": "balanced"}),
            (TWO, {"weights": "calibrated"}),
            ((term("logits", weight="1%0-50"), term("hidden", weight="1%50-100")), {}),
            ((term("hidden", moving="random-in-block", pairs=((1, 1), (2, 1), (3, 2))),), {}),
        ),
    ],
    ids=["terms", "labels", "balanced", "calibrated", "windows", "random pairs"],
)
def test_a_training_with_replayed_steps_has_the_same_bits(monkeypatch, tmp_path, case):
    terms, changed = case
    assert train(monkeypatch, tmp_path, *terms, epochs=6, **changed).replayed > 0


@pytest.mark.parametrize(
    "case",
    [
        ((term("hidden"),), {"errata": "teacher-in-training"}),  # a seed of its own at each step
        *slow(
            ((term("hidden", moving="emd"),), {}),  # solved on the CPU
            ((term("hidden", weight="0..1"),), {}),  # another weight at each step
        ),
    ],
    ids=["teacher in training", "emd", "ramp"],
)
def test_what_changes_at_each_step_is_not_replayed(monkeypatch, tmp_path, case):
    terms, changed = case
    assert train(monkeypatch, tmp_path, *terms, epochs=4, **changed).replayed == 0


def test_a_step_that_cannot_be_captured_ends_the_replay_and_nothing_else(
    monkeypatch, tmp_path, capsys
):
    def captured(step, pool):
        torch.rand(3)
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    assert train(monkeypatch, tmp_path, *TWO, epochs=8, captured=captured).replayed == 0
    said = "no CUDA graphs in this training: operation not permitted when stream is capturing\n"
    assert capsys.readouterr().out.count(said) == 1


@pytest.mark.parametrize("tight", [False, True])
def test_where_memory_runs_out_the_graphs_go_first(monkeypatch, tmp_path, tight):
    """Only if that is not enough, the encoders get fewer examples at a time."""
    sizes = []

    class Crowded(Counted):
        had = False

        def __call__(self, loaded, moment, micro_batch):
            sizes.append(micro_batch)
            full = bool(self._graphs) or (tight and self.had and micro_batch == 8)
            if full:
                self.had = True
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(loaded, moment, micro_batch)

    plain = Training(tmp_path, *TWO, epochs=6)
    monkeypatch.setattr(loop, "Graphs", Crowded)
    monkeypatch.setattr(loop, "graphs_wanted", lambda device: True)
    monkeypatch.setattr(graphs, "captured", lambda step, pool: (step, None))
    again = Training(tmp_path, *TWO, epochs=6)
    assert Crowded.last.had and Crowded.last.replayed == 0
    assert again.result.micro_batch == (4 if tight else 8)
    assert sizes.count(4) == 0 or tight
    assert tight or not differs(plain.state(), again.state())


def test_graphs_are_for_gpus_and_can_be_turned_off(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert graphs.wanted(gpu)
    assert not graphs.wanted(cpu)
    monkeypatch.setenv(graphs.SWITCH, "0")
    assert not graphs.wanted(gpu)
