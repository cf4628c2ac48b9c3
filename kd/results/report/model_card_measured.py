"""The sections of a model card that state measurements: scores, size and speed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from kd.axes.kinds import LABELS
from kd.results.best_students import BestStudent

_FORMS = {
    "pytorch": ("PyTorch", "model.safetensors"),
    "fp32": ("ONNX fp32", "onnx/model.onnx"),
    "int8": ("ONNX int8", "onnx/model_quantized.onnx"),
}


def scores_section(facts: Mapping[str, Any], best: BestStudent | None) -> str:
    """The scores of each form of the model, of its teacher and of the constant answer."""
    record = facts["record"]
    names = [n for n in facts["metrics"]["pytorch"] if n != "score"]
    head = ["", *(["score"] if len(names) > 1 else []), *names]
    lines = [
        "## Scores on the dev split",
        "",
        f"Points (x 100) on {_examples(facts)}. The rows of this model were measured with the "
        f"files of this folder.",
        "",
        _table_row(head),
        _table_row(["---"] * len(head)),
    ]
    shown = head[1:]
    for form, (title, _) in _FORMS.items():
        values = facts["metrics"][form]
        lines.append(_table_row([f"this model, {title}", *(_points(values[n]) for n in shown)]))
    for title, key in (("its teacher", "teacher_score"), ("best constant answer", None)):
        value = record.get(key) if key else facts["majority_score"]
        if value is not None:
            own = shown[0] if shown else ""
            cells = [_points(value) if n == own else "" for n in shown]
            lines.append(_table_row([title, *cells]))
    if record.get("score") is not None:
        gap = abs(facts["metrics"]["pytorch"]["score"] - record["score"])
        if gap > 1e-6:
            lines += [
                "",
                f"Its evaluation in the study gave {100 * record['score']:.2f} "
                f"({record.get('evaluated_on', 'another machine')}).",
            ]
    error = record.get("score_se")
    if error:
        lines += ["", f"Standard error of the score over dev examples: {100 * error:.1f} points."]
    if fits := _fits(record):
        lines += ["", fits]
    if best:
        lines += ["", _chosen(best)]
    return "\n".join(lines)


def _fits(record: Mapping[str, Any]) -> str:
    """Calibration and agreement with the teacher, where the record has them."""
    said = []
    if (error := record.get("ece")) is not None:
        said.append(f"Its expected calibration error is {_points(error)} points (15 bins).")
    if (same := record.get("agreement")) is not None:
        if record.get("task_kind") == LABELS.name:
            said.append(
                f"It agrees with its teacher on {_points(same)} % of all labels of all examples."
            )
        elif "ece" in record:
            said.append(f"It chooses its teacher's class for {_points(same)} % of the examples.")
        else:
            said.append(f"Its scores correlate with its teacher's at {same:.2f} (Pearson).")
    return " ".join(said)


def _chosen(best: BestStudent) -> str:
    lost = best.expected - best.seeds
    runs = f"{best.seeds} seeds" if best.seeds > 1 else "1 seed"
    interval = (
        f" (95 % interval {_points(best.low)} to {_points(best.high)})"
        if not math.isnan(best.low)
        else ""
    )
    return (
        f"Over {runs}{f' ({lost} more are missing)' if lost else ''}, models made like this one "
        f"score {_points(best.mean)} on average{interval}. No configuration of its study that was "
        f"compared ({best.cells} in all) has a higher mean, to a tenth of a point, and this model "
        f"has the highest score of its seeds. Both were chosen on the dev split, so expect a lower "
        f"score on new data."
    )


def speed_section(facts: Mapping[str, Any]) -> str:
    """Size and latency of each form of the model."""
    batches = list(dict.fromkeys(row["batch"] for row in facts["latency"]))
    head = ["", "file", "size", *(f"batch of {batch}" for batch in batches)]
    lines = [
        "## Size and speed",
        "",
        f"Median milliseconds of a batch, without the tokenizer, in brackets the 10th and 90th "
        f"percentile; {facts['threads']} CPU thread{'s' if facts['threads'] > 1 else ''} of "
        f"{facts['device']}, inputs of the dev split.",
        "",
        _table_row(head),
        _table_row(["---"] * len(head)),
    ]
    for form, (title, file) in _FORMS.items():
        rows = [row for row in facts["latency"] if row["form"] == form]
        times = [
            f"{1e3 * r['seconds']:.2f} ({1e3 * r['low']:.2f} to {1e3 * r['high']:.2f})"
            for r in rows
        ]
        size = f"{facts['bytes'][file] / 1e6:.1f} MB"
        lines.append(_table_row([title, f"`{file}`", size, *times]))
    lines += [
        "",
        f"The logits of ONNX fp32 differ from PyTorch's by at most "
        f"{facts['largest_difference']:.1e} on the dev split. In int8 the weights of the matrix "
        f"products are quantised, and activations while they are computed (dynamic quantisation).",
    ]
    return "\n".join(lines)


def _examples(facts: Mapping[str, Any]) -> str:
    splits = facts["examples"]
    if len(splits) == 1:
        return f"{splits['dev']:,} examples"
    return words([f"{n:,} examples of {split}" for split, n in splits.items()], "and")


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def words(items: Sequence[str], last: str) -> str:
    """'a, b and c'."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}"
