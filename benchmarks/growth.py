"""How time, memory and disk grow with one thing at a time."""

from pathlib import Path
from typing import Any

from benchmarks import limits, own
from benchmarks.contenders import ALL, OURS, contenders
from benchmarks.measure import interleaved
from benchmarks.memory import peak_bytes
from benchmarks.workload import workload
from kd.axes.shapes import parse_shape

MEAN_TOKENS = 13
_BATCHES = 10


def cases(examples: int, student: str) -> list[tuple[str, int, str]]:
    """(what grows, examples, student), with the start first."""
    shape = parse_shape(student)

    def scaled(layers: float, width: float) -> str:
        sizes = [round(n) for n in (shape.layers * layers, shape.hidden * width, shape.ffn * width)]
        return "{}L-{}-{}h-{}".format(*sizes[:2], shape.heads, sizes[2])  # as many heads

    return [
        ("the start", examples, student),
        ("twice the examples", 2 * examples, student),
        ("half the layers", examples, scaled(0.5, 1)),
        ("twice the layers", examples, scaled(2, 1)),
        ("half the width", examples, scaled(1, 0.5)),
        ("twice the width", examples, scaled(1, 2)),
    ]


def growth(
    student: str, teacher: str, batch_size: int, repetitions: int, folder: Path
) -> list[dict[str, Any]]:
    """An epoch of logits + hidden + attention: seconds, peak memory, stored and exported bytes."""
    works = {
        what: workload(MEAN_TOKENS, count, shape, teacher, batch_size, folder / f"growth{i}")
        for i, (what, count, shape) in enumerate(cases(_BATCHES * batch_size, student))
    }
    for work in works.values():
        own.store(work, [ALL])
    timed = {what: contenders(work, [], others=False)[OURS] for what, work in works.items()}
    timings = interleaved(timed, repetitions)
    return [
        {
            "what": what,
            "examples": len(work.split),
            "student": str(work.student),
            "epoch_seconds": [second * work.steps for second in timings[what].seconds],
            "epoch_flops": limits.needs(work)["flops"] * work.steps,
            "peak_bytes": peak_bytes(work, OURS),
            "stored_bytes": sum(f.stat().st_size for f in work.folder.rglob("*") if f.is_file()),
            "model_bytes": 4 * work.student.parameters(30522),
        }
        for what, work in works.items()
    ]
