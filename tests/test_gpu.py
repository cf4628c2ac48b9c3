"""What runs on a GPU: capture, losses, trainings, their bits, and memory that runs out.

The same tests run on the CPU, in part; `make gpu` runs them all where there is a GPU.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import pytest
import torch
from helpers import ARCHS, VOCABULARY, tiny_inputs, tiny_model
from loss_cases import LOSSES, draw, gradient
from loss_references import REFERENCES
from torch import Tensor
from trainings import (
    IDENTITY,
    NARROW,
    RECIPE,
    SHAPE,
    DyingAt,
    Training,
    differs,
    make_objective,
    make_split,
    term,
)

from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.shapes import Shape
from kd.axes.terms import taught_keys
from kd.encoders.capture import Capture
from kd.encoders.micro_batches import in_micro_batches
from kd.losses.moving import Moment
from kd.losses.objective import Objective
from kd.runtime.device import autocast, make_deterministic
from kd.runtime.progress import Progress
from kd.runtime.signals import Stopped
from kd.teacher.features import TeacherFeatures
from kd.teacher.store import open_outputs, write_outputs
from kd.training import batches, graphs, loop
from kd.training.checkpoint import Checkpoint
from kd.training.gradients import Gradients
from kd.training.loop import Job, fit
from kd.training.resident import resident

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as jobs do, before CUDA starts
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
ON_GPU = pytest.mark.gpu
BOTH = pytest.mark.parametrize("device", [CPU, pytest.param(CUDA, marks=ON_GPU)], ids=str)
FEW = ("logits_kl", "map_kl")  # losses that the CPU tries here; test_formulas.py has them all
# What takes part in trainings: on the CPU two terms, on a GPU every type of knowledge.
SOME = ("logits", "attention")


@pytest.fixture(autouse=True)
def as_in_a_job(request: pytest.FixtureRequest) -> Iterator[None]:
    """The settings of a job for the device of the test, and afterwards those of before."""
    values = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    device = values.get("device", CUDA)
    if device.type == "cpu":
        yield
        return
    cudnn, fill = torch.backends.cudnn, torch.utils.deterministic.fill_uninitialized_memory
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    make_deterministic(CUDA, 1)
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    torch.set_float32_matmul_precision(before[0])
    cudnn.allow_tf32, cudnn.benchmark = before[1:]


def cases(names: list[str] | tuple[str, ...], few: tuple[str, ...]) -> list:
    """(CPU, one of the few) and (GPU, any)."""
    return [(CPU, name) for name in few] + [
        pytest.param(CUDA, name, marks=ON_GPU) for name in names
    ]


def terms_for(device: torch.device) -> tuple:
    return tuple(term(name) for name in (SOME if device.type == "cpu" else KNOWLEDGE))


@pytest.mark.parametrize(("device", "arch"), cases(ARCHS, ("bert",)))
def test_captured_features_are_those_that_the_model_returns(device, arch):
    model = tiny_model(arch).eval().to(device)
    inputs = {name: tensor.to(device) for name, tensor in tiny_inputs(model).items()}
    mask = inputs["attention_mask"].bool()
    layers = range(SHAPE.layers + 1)
    with torch.no_grad():
        with Capture(model, {("logits", 0), *(("hidden", n) for n in layers)}) as capture:
            found = capture(**inputs)
        model.set_attn_implementation("eager")
        wanted = model(**inputs, output_hidden_states=True)
    assert torch.allclose(found["logits", 0], wanted.logits, atol=1e-5)
    for layer in layers:
        one, two = found["hidden", layer][mask], wanted.hidden_states[layer][mask]
        assert torch.allclose(one, two, atol=1e-5), layer


@pytest.mark.parametrize(("device", "name"), cases(list(LOSSES), FEW))
def test_a_loss_is_its_formula_and_has_the_gradient_of_the_cpu(device, name):
    case = draw(name, [5, 2, 4], seed=3)
    there = replace(
        case.map(lambda x: x.to(device)), mask=case.mask.to(device), labels=case.labels.to(device)
    )
    value, gradients = gradient(there)
    assert value == pytest.approx(REFERENCES[name](case.map(Tensor.double)), rel=2e-4, abs=2e-5)
    for one, two in zip(gradients, gradient(case)[1], strict=True):
        assert torch.allclose(one.cpu(), two, rtol=1e-3, atol=1e-5)
    rounded = case.map(Tensor.bfloat16)
    value, gradients = gradient(
        replace(
            there,
            student=there.map(Tensor.bfloat16).student,
            teacher=there.map(Tensor.bfloat16).teacher,
        )
    )
    assert value == pytest.approx(REFERENCES[name](rounded.map(Tensor.double)), rel=2e-4, abs=2e-5)
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        (CPU, "bf16"),
        pytest.param(CUDA, "fp32", marks=ON_GPU),
        pytest.param(CUDA, "bf16", marks=ON_GPU),
    ],
)
def test_a_training_has_the_same_bits_again_and_after_a_stop(device, precision, tmp_path):
    terms = terms_for(device)
    same = {"device": device, "precision": precision, "epochs": 1}
    first = Training(tmp_path, *terms, **same)
    assert all(torch.isfinite(x).all() for x in first.state().values())
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        Training(tmp_path, *terms, **same, checkpoint=DyingAt(path, 2))
    again = Training(tmp_path, *terms, **same, checkpoint=Checkpoint(path, IDENTITY))
    assert again.history == first.history
    assert not differs(first.state(), again.state())


@ON_GPU
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "names", [(), ("logits", "hidden", "attention"), tuple(KNOWLEDGE)], ids=len
)
def test_replayed_steps_have_the_bits_of_ordinary_ones(names, precision, tmp_path, monkeypatch):
    made: list[graphs.Graphs] = []

    class Counted(graphs.Graphs):
        def __init__(self, gradients):
            super().__init__(gradients)
            made.append(self)

    monkeypatch.setattr(loop, "Graphs", Counted)
    settings = {"device": CUDA, "precision": precision, "epochs": 12}
    replayed = Training(tmp_path, *map(term, names), **settings)
    monkeypatch.setenv(graphs.SWITCH, "0")
    plain = Training(tmp_path, *map(term, names), **settings)
    assert len(made) == 1
    assert made[0].replayed > 10
    assert replayed.history == plain.history
    assert not differs(replayed.state(), plain.state())


@BOTH
def test_bf16_stays_near_fp32(device, tmp_path):
    losses = [
        Training(
            tmp_path,
            *terms_for(device),
            device=device,
            precision=precision,
            student_dropout=0.0,
            steps=1,
        ).history[0]
        for precision in ("fp32", "bf16")
    ]
    for name, value in losses[0].items():
        assert losses[1][name] == pytest.approx(value, rel=0.1, abs=0.02), name


@ON_GPU
def test_the_first_step_is_that_of_the_cpu(tmp_path):
    terms = terms_for(CUDA)
    one, two = (
        Training(tmp_path, *terms, device=d, student_dropout=0.0, steps=1).history[0]
        for d in (CPU, CUDA)
    )
    for name, value in one.items():
        assert two[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name


@ON_GPU
def test_no_step_waits_for_the_gpu():
    terms = terms_for(CUDA)
    objective = make_objective(*terms).to(CUDA)
    student = tiny_model(shape=NARROW).to(CUDA).train()
    teacher = TeacherFeatures(taught_keys(terms), None, tiny_model(shape=SHAPE, seed=7), CUDA)
    rows, moment = torch.arange(8), Moment(0, 8, 0, 1)
    with Gradients(student, objective, teacher, make_split(), "bf16", CUDA) as gradients:
        gradients(gradients.load(rows, 1), moment, 8)  # what happens once may wait
        loaded = gradients.load(rows, 1)
        torch.cuda.set_sync_debug_mode("error")
        try:
            gradients(loaded, moment, 8)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@ON_GPU
@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_long_examples_have_the_same_bits_in_every_architecture(arch, precision):
    def gradients() -> dict[str, Tensor]:
        model = tiny_model(arch, max_position_embeddings=520).to(CUDA).train()
        generator = torch.Generator().manual_seed(1)
        ids = torch.randint(5, VOCABULARY, (64, 500), generator=generator).to(CUDA)
        mask = torch.ones_like(ids)
        mask[1:, 300:] = 0
        torch.manual_seed(1)
        with autocast(precision, CUDA), Capture(model, {("logits", 0)}) as capture:
            logits = capture(input_ids=ids, attention_mask=mask)["logits", 0]
        logits.float().square().sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    assert not differs(gradients(), gradients())


@ON_GPU
def test_examples_in_its_memory_make_the_batches_of_the_cpu(tmp_path):
    split, terms = make_split(50), (term("logits"), term("hidden"), term("attention"), term("cls"))
    keys, identity = taught_keys(terms), {"teacher": "t", "tokens": "t"}
    teacher, progress = tiny_model(shape=SHAPE, seed=7), Progress(tmp_path / "state", "test")
    write_outputs(tmp_path / "store", keys, teacher, split, identity, CUDA, progress)
    features = TeacherFeatures(
        keys, open_outputs(tmp_path / "store", keys, split, identity), None, CUDA
    )
    made = resident(split, features, CUDA)
    assert made is not None
    for rows in torch.randperm(50).split(8):
        loaded = batches.load(split, rows, features, CUDA, None, 1)
        batch, stored = made.batch(rows.to(CUDA), loaded.length)
        assert batch.keys() == loaded.batch.keys()
        assert stored.keys() == loaded.stored.keys()
        for name, value in [*loaded.batch.items(), *loaded.stored.items()]:
            there = {**batch, **stored}[name]
            assert torch.equal(there.cpu(), value), name
            assert there.dtype == value.dtype
            assert there.stride() == value.to(CUDA).stride(), name


@BOTH
def test_micro_batches_have_the_gradient_of_the_dropout_of_their_loss(device):
    """The activations are computed twice: the second time with the masks of the first."""
    model = tiny_model("bert").to(device).train()
    inputs = {name: tensor.to(device) for name, tensor in tiny_inputs(model, (7, 3, 5, 6)).items()}
    found = []
    with Capture(model, {("hidden", 3), ("logits", 0)}) as capture:
        for recomputed in (True, False):
            torch.manual_seed(3)
            model.zero_grad()
            if recomputed:
                features = in_micro_batches(capture, inputs, 2)
            else:
                halves = [{n: t[i : i + 2] for n, t in inputs.items()} for i in (0, 2)]
                parts = [capture(**half) for half in halves]
                features = {key: torch.cat([p[key] for p in parts]) for key in parts[0]}
            sum(f.square().mean() for f in features.values()).backward()
            grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
            found.append({"logits": features["logits", 0], **grads})
    one, two = found
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=1e-4, atol=1e-6), name


def train_with_less_memory(tmp_path) -> None:
    """To be run in a process of its own, whose memory no other test has used."""
    make_deterministic(CUDA, 1)
    shape, size = Shape(layers=4, hidden=256, heads=4, ffn=1024), 1024
    split = make_split(size)
    recipe = {**RECIPE, "batch_size": size, "steps": 1}

    def train():
        model = tiny_model(
            shape=shape, spread=0.02, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        objective = Objective((), CLASSES, shape, SHAPE, {})
        job = Job(CUDA, Progress(tmp_path / "state", "test"), "testing")
        return fit(model, objective, split, recipe, job)

    whole = train()
    assert whole.micro_batch == size
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved()
    peak = whole.peak_memory_bytes
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction((held + 0.6 * peak) / total)
    pieces = train()
    assert 1 <= pieces.micro_batch < size
    assert pieces.peak_memory_bytes < peak
    for name, value in whole.history[0].items():
        assert pieces.history[0][name] == pytest.approx(value, rel=1e-4), name


@ON_GPU
def test_memory_that_runs_out_halves_the_micro_batches_and_nothing_else(tmp_path):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        processes.submit(train_with_less_memory, tmp_path).result()
