"""`kd calibrate`: measures the rates from which `kd plan` estimates hours (`kd.monitor.rates`)."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import BertConfig

from kd.axes.kinds import CLASSES
from kd.axes.shapes import Shape, parse_shape
from kd.data.tokens import Split
from kd.encoders.build import build_random, shaped_config
from kd.jobs.record import device_name, now
from kd.jobs.setup import prepare_device
from kd.losses.objective import Objective
from kd.runtime.device_names import device_label
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress, step_state
from kd.runtime.seals import read_record, write_record
from kd.study.paths import Layout
from kd.training.evaluation import predict
from kd.training.loop import Job, fit

_SECONDS = 5.0  # of each measurement, about
_MOST_STEPS = 400
_BATCH, _LENGTH = 32, 24  # of the operations: as many tokens as a batch of short sentences has
_TINY, _WIDE, _LARGE = (parse_shape(text) for text in ("2L-32-2h-64", "1L-128", "3L-384"))
_ON_GPU = parse_shape("12L-768")
_FEW, _MANY = 1000, 60_000  # words of a vocabulary
_FILE = 64 << 20  # bytes of the file that is written
_RECIPE = {
    "learning_rate": 1e-4, "warmup": 0.1, "weight_decay": 0.01, "max_grad_norm": 1.0, "seed": 1,
}  # fmt: skip


def run_calibrate(layout: Layout, threads: int) -> tuple[str, dict[str, Any]]:
    """Measure the device of this process, and add it to the file of calibrations.

    Returns:
        the name of the device, as records have it, and its rates: seconds (`start`, `step` for each
        layer, `update` for each parameter), operations per second (`training` by precision,
        `forward`) and bytes per second (`disk`).
    """
    with tempfile.TemporaryDirectory() as place, step_state(Path(place), "calibrate") as progress:
        device = prepare_device(threads, progress)
        clock = time.process_time if (device.type, threads) == ("cpu", 1) else time.perf_counter
        rates = _rates(device, clock, progress)
        rates["disk"] = _written(layout.results)
    name = device_label(device_name(device), threads)
    known: dict[str, Any] = {}
    if layout.calibration.is_file():
        try:
            read = read_record(layout.calibration, "devices", mark=False)["devices"]
            known = {other: facts for other, facts in read.items() if rates.keys() <= facts.keys()}
        except (UserError, AttributeError) as error:
            print(f"{layout.calibration}: damaged, so it is written anew ({error})", flush=True)
    rates["created"] = now()
    write_record(layout.calibration, {"devices": {**known, name: rates}})
    return name, rates


def _rates(device: torch.device, clock: Callable[[], float], progress: Progress) -> dict[str, Any]:
    """The rates of `kd.monitor.costs`, each from a training in which it takes most of the time."""

    def step(shape: Shape, words: int, batch: int, length: int, precision: str = "fp32") -> float:
        return _step_seconds(shape, words, batch, length, precision, device, clock, progress)

    large = _ON_GPU if device.type == "cuda" else _LARGE
    each = step(_TINY, _FEW, 8, 8) / (_TINY.layers + 2)
    update = step(_WIDE, _MANY, 2, 8) - each * (_WIDE.layers + 2)
    update = max(0.0, update / _parameters(_WIDE, _MANY))
    training = {}
    for precision in ("fp32", "bf16"):
        seconds = step(large, _FEW, _BATCH, _LENGTH, precision)
        rest = seconds - each * (large.layers + 2) - update * _parameters(large, _FEW)
        work = 3 * _BATCH * large.flops(_LENGTH)
        training[precision] = work / max(rest, 0.1 * seconds)
    return {
        "start": _start_seconds(clock),
        "step": each,
        "update": update,
        "training": training,
        "forward": _forward(large, device, clock),
    }


def _parameters(shape: Shape, words: int) -> int:
    return shape.parameters(words, positions=128)


def _model(shape: Shape, words: int) -> Any:
    config = shaped_config(BertConfig(), shape)
    config.vocab_size, config.max_position_embeddings, config.num_labels = words, 128, 2
    return build_random(config)


def _split(examples: int, length: int, words: int) -> Split:
    """Random examples of about one length."""
    ids = torch.randint(5, words, (examples * length,)).int()
    offsets = torch.arange(examples + 1) * length
    labels = torch.arange(examples) % 2
    return Split({"input_ids": ids}, offsets, labels, torch.arange(examples), padding=0)


def _step_seconds(
    shape: Shape, words: int, batch: int, length: int, precision: str, device: torch.device,
    clock: Callable[[], float], progress: Progress,
) -> float:  # fmt: skip
    """Seconds of a step of the training loop; the first steps are not counted."""
    torch.manual_seed(1)
    model, split = _model(shape, words), _split(4 * batch, length, words)
    objective = Objective((), CLASSES, shape, shape, {"hard_weight": 1.0, "weights": "fixed"})

    def seconds(steps: int) -> float:
        recipe = {**_RECIPE, "steps": steps, "epochs": 1, "batch_size": batch}
        started = clock()
        fit(
            model, objective, split, {**recipe, "precision": precision},
            Job(device, progress, "calibrating"),
        )  # fmt: skip
        return clock() - started

    seconds(3)  # kernels are chosen and compiled
    steps = min(_MOST_STEPS, max(3, round(_SECONDS / (seconds(3) / 3))))
    short = max(1, steps // 4)
    # What a training takes once, whatever its steps, is in both.
    return max((seconds(steps + short) - seconds(short)) / steps, 1e-6)


def _forward(shape: Shape, device: torch.device, clock: Callable[[], float]) -> float:
    """Operations per second of an evaluation in fp32."""
    model = _model(shape, _FEW)
    split = _split(256, _LENGTH, _FEW)
    predict(model, split, device, None)
    started, done = clock(), 0
    while clock() - started < _SECONDS / 2:
        predict(model, split, device, None)
        done += len(split)
    return done * shape.flops(_LENGTH) / (clock() - started)


def _start_seconds(clock: Callable[[], float]) -> float:
    """Seconds of a process that loads what a training does; of the processor, where `clock` is."""
    # Like a step, it ends without taking torch apart.
    code = (
        "from kd.runtime import startup; startup.prepare(); import kd.jobs.distil, os; os._exit(0)"
    )
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (this very program)
    if clock is time.perf_counter:
        return time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _written(folder: Path) -> float:
    """Bytes per second of a file that is written below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(_FILE))
        file.flush()
        os.fsync(file.fileno())
    return _FILE / max(time.perf_counter() - started, 1e-6)
