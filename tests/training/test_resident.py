"""Examples and stored outputs in the memory of a device, here that of the CPU."""

import torch
from helpers import SHAPE, tiny_model
from trainings import CPU, make_split, term

from kd.axes.terms import taught_keys
from kd.runtime.progress import Progress
from kd.teacher.features import TeacherFeatures
from kd.teacher.store import open_outputs, write_outputs
from kd.training import batches
from kd.training.resident import Resident, resident


def test_its_batches_are_those_of_host_memory(tmp_path):
    split, terms = make_split(30), [term(n) for n in ("logits", "hidden", "attention", "cls")]
    keys, identity = taught_keys(terms), {"teacher": "t", "tokens": "t"}
    teacher, progress = tiny_model(shape=SHAPE, seed=7), Progress(tmp_path / "state", "test")
    write_outputs(tmp_path / "store", keys, teacher, split, identity, CPU, progress)
    outputs = open_outputs(tmp_path / "store", keys, split, identity)
    features = TeacherFeatures(keys, outputs, None, CPU)
    arrays = {key: torch.from_numpy(array.copy()) for key, array in outputs.arrays.items()}
    made = Resident(split.to(CPU), arrays)
    for rows in torch.arange(30).split(7):
        wanted = batches.load(split, rows, features, CPU, None, 1)
        for length in (wanted.length, wanted.length + 3):
            batch, stored = made.batch(rows, length)
            long = split.batch(rows, length)
            assert batch.keys() == wanted.batch.keys()
            assert all(torch.equal(batch[name], long[name]) for name in batch)
            for key, value in features.read(rows, length).items():
                assert torch.equal(stored[key], value), key
                assert stored[key].stride() == value.stride(), key
                assert stored[key].dtype == value.dtype


def test_a_cpu_has_all_examples_in_its_memory_already():
    assert resident(make_split(), None, CPU) is None
