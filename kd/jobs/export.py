"""`kd export`: a run's student as a folder to ship, with measured scores and latency.

They are measured on the dev text with the files that a user will load: the exported tokenizer,
weights and graphs.
"""

import contextlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
import transformers
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kd.axes.kinds import SCORES
from kd.axes.tasks import TASKS, Task, describe, described
from kd.data.tokens import labels_tensor
from kd.encoders.build import longest_input
from kd.encoders.onnx import OnnxModel, check_packages, write_int8, write_onnx
from kd.runtime.device import make_deterministic
from kd.runtime.errors import UserError
from kd.runtime.files import read_json
from kd.runtime.hashes import model_fingerprint
from kd.runtime.seals import check_seal, read_record
from kd.study.paths import METRICS, MODEL, SPEC
from kd.training.metrics import constant_score, evaluate_metrics
from kd.training.predictions import chosen_answers, gold_answers

TOLERANCE = 1e-4  # ONNX fp32 against PyTorch, in logits
_BATCH = 64
_BATCHES = (1, 32)  # whose latency is measured
_TIMED, _WARM_UP = 24, 3  # batches
GRAPHS = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
_TEXTS = ("sentence1", "sentence2")

T = TypeVar("T")
Inputs = dict[str, torch.Tensor]
Predict = Callable[[Inputs], np.ndarray]


def export(run: Path, results: Path, folder: Path, threads: int) -> dict[str, Any]:
    """Fill `folder` with weights, tokenizer and graphs of a finished run; return what was measured.

    Returns:
        the record of the run (its metrics.json) under `record`, its `spec`, and of the export:
        `scores` and `metrics` on the dev split by form (pytorch, fp32, int8), `largest_difference`
        of the logits (fp32 against PyTorch), `latency` rows (form, batch, median seconds of a
        batch), `bytes` by file, `threads`, `versions`, `device`.

    Raises:
        UserError: the run is not done, its files are damaged or its text is gone; a package is
            missing; ONNX fp32 differs from PyTorch by more than 1e-4.
    """
    check_packages()
    record, spec = _finished(run)
    text = _text(results, record)
    row = _task(text, record)
    make_deterministic(torch.device("cpu"), threads)
    splits = {name: pd.read_parquet(text / f"{name}.parquet") for name in row.scored}
    _write_model(run / MODEL, row, folder, record["max_length"])

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    (folder / "onnx").mkdir()
    example = _tokens(tokenizer, splits["dev"].iloc[:2], row)
    fp32, int8 = (folder / name for name in GRAPHS.values())
    write_onnx(model, example, longest_input(model.config), fp32)
    write_int8(fp32, int8)

    forms: dict[str, Predict] = {
        "pytorch": _predict_torch(model),
        "fp32": _predict_onnx(OnnxModel(fp32, threads)),
        "int8": _predict_onnx(OnnxModel(int8, threads)),
    }
    logits = _all_logits(forms, tokenizer, splits, row)
    difference = max(
        float(np.abs(logits["fp32"][split] - logits["pytorch"][split]).max()) for split in splits
    )
    if not difference <= TOLERANCE:
        raise UserError(
            f"{run / 'model'}: ONNX differs from PyTorch by {difference:.2g} in a logit of the dev "
            f"split; allowed: {TOLERANCE:g}; nothing was exported"
        )
    return {
        "record": record,
        "task": describe(row),
        "spec": spec,
        "arch": model.config.model_type,
        "metrics": {form: _metrics(row, splits, found) for form, found in logits.items()},
        "majority_score": statistics.mean(
            constant_score(row, _gold(row, frame)) for frame in splits.values()
        ),
        "examples": {split: len(frame) for split, frame in splits.items()},
        "largest_difference": difference,
        "latency": list(_latency(forms, tokenizer, splits["dev"], row)),
        "bytes": {
            str(path.relative_to(folder)): path.stat().st_size
            for path in [folder / "model.safetensors", fp32, int8]
        },
        "threads": threads,
        "device": _processor(),
        "versions": _versions(),
    }


def _finished(run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """metrics.json and spec.json of a run, after checking that its model is the evaluated one."""
    if not (run / METRICS).is_file():
        raise UserError(f"{run / 'metrics.json'}: missing; only a run that is done can be exported")
    record = read_record(run / METRICS, "score", "task", "model_fingerprint")
    if model_fingerprint(check_seal(run / MODEL)) != record["model_fingerprint"]:
        raise UserError(f"{run / 'model'}: not the model that was evaluated; delete {run}")
    return record, read_json(run / SPEC)


def _text(results: Path, record: dict[str, Any]) -> Path:
    """The folder of the text that the run was evaluated on, found by its fingerprint."""
    for manifest in sorted(results.glob(f"data/*/{record['task']}/text/manifest.json")):
        if read_json(manifest)["fingerprint"] == record["data_fingerprint"]:
            return check_seal(manifest.parent)
    raise UserError(
        f"{results / 'data'}: the text of {record['task']} with the fingerprint "
        f"{record['data_fingerprint']} is not there; `kd data` loads it"
    )


def _task(text: Path, record: dict[str, Any]) -> Task:
    """The task of a run; one of the user's own is described with its text."""
    name = str(record["task"])
    if name in TASKS:
        return TASKS[name]
    return described(name, read_json(text / "manifest.json")["description"])


def _write_model(model: Path, row: Task, folder: Path, max_length: int) -> None:
    """Write weights, config and tokenizer, with the words of the labels and the training's
    max_length."""
    loaded = AutoModelForSequenceClassification.from_pretrained(
        model, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
    )
    if row.kind is not SCORES:
        words = row.words
        loaded.config.id2label = dict(enumerate(words))
        loaded.config.label2id = {word: index for index, word in enumerate(words)}
    loaded.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    tokenizer.model_max_length = max_length
    tokenizer.save_pretrained(folder)


def _tokens(tokenizer: Any, rows: pd.DataFrame, row: Task) -> Inputs:
    """(B, L) inputs as a user's own call of the tokenizer gives them."""
    texts = [rows[column].tolist() for column in _TEXTS[: len(row.columns)]]
    encoded = tokenizer(*texts, truncation="longest_first", padding=True, return_tensors="pt")
    return {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}


def _predict_torch(model: torch.nn.Module) -> Predict:
    def predict(inputs: Inputs) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(**inputs).logits.float().numpy())

    return predict


def _predict_onnx(model: OnnxModel) -> Predict:
    return lambda inputs: model({name: value.numpy() for name, value in inputs.items()})


def _all_logits(
    forms: dict[str, Predict],
    tokenizer: Any,
    splits: dict[str, pd.DataFrame],
    row: Task,
) -> dict[str, dict[str, np.ndarray]]:
    """{form: {split: (n, C) logits}}, rows in the order of the split."""
    found: dict[str, dict[str, np.ndarray]] = {form: {} for form in forms}
    for split, frame in splits.items():
        parts: dict[str, list[np.ndarray]] = {form: [] for form in forms}
        for first in _shown(range(0, len(frame), _BATCH), f"predictions on {split}"):
            inputs = _tokens(tokenizer, frame.iloc[first : first + _BATCH], row)
            for form, predict in forms.items():
                parts[form].append(predict(inputs))
        for form in forms:
            found[form][split] = np.concatenate(parts[form])
    return found


def _metrics(
    row: Task, splits: dict[str, pd.DataFrame], logits: dict[str, np.ndarray]
) -> dict[str, float]:
    """The official metrics of logits (n, C) by split. The score is the mean over the dev splits."""
    found: dict[str, float] = {}
    scores = []
    for split, frame in splits.items():
        answers = chosen_answers(row, logits[split])
        metrics = evaluate_metrics(row, answers, _gold(row, frame))
        scores.append(metrics.pop("score"))
        suffix = "" if split == "dev" else f"_{split.removeprefix('dev_')}"
        found |= {f"{name}{suffix}": value for name, value in metrics.items()}
    return {"score": statistics.mean(scores), **found}


def _gold(row: Task, frame: pd.DataFrame) -> np.ndarray:
    """The right answers, of the kind of `chosen_answers`."""
    return gold_answers(row, labels_tensor(frame["label"].tolist(), row).numpy())


def _latency(
    forms: dict[str, Predict], tokenizer: Any, frame: pd.DataFrame, row: Task
) -> Iterator[dict[str, Any]]:
    """Median seconds of a batch, on batches spread over the dev split, by form and batch size.

    The tokenizer is not timed. The forms take turns, so that other work slows each of them equally.
    """
    for size in _BATCHES:
        starts = np.linspace(0, max(0, len(frame) - size), _TIMED).astype(int)
        batches = [_tokens(tokenizer, frame.iloc[i : i + size], row) for i in starts]
        seconds: dict[str, list[float]] = {form: [] for form in forms}
        for batch in _shown([*batches[:1] * _WARM_UP, *batches], f"time of batches of {size}"):
            for form, predict in forms.items():
                started = time.perf_counter()
                predict(batch)
                seconds[form].append(time.perf_counter() - started)
        for form in forms:
            timed = seconds[form][_WARM_UP:]
            low, median, high = np.percentile(timed, [10, 50, 90])
            yield {
                "form": form,
                "batch": min(size, len(frame)),
                "seconds": float(median),
                "low": float(low),
                "high": float(high),
                "tokens": statistics.mean(b["attention_mask"].sum().item() for b in batches),
            }


def _processor() -> str:
    """The processor's model, where the machine says it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    import onnxruntime

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def _shown(steps: Sequence[T], text: str) -> Iterator[T]:
    """The steps, with a bar on a terminal and one line elsewhere."""
    if not sys.stderr.isatty():
        print(f"{text}: {len(steps)} batches", flush=True)
    return iter(tqdm(steps, desc=text, leave=False, disable=None))
