"""The columns of runs.csv and the keys of metrics.json: one row each, with unit and meaning.

Append-only. A file that is older than a column stays readable, and its missing values are unknown,
never guessed. Everything that documents or checks these files is made from this table.
"""

from dataclasses import dataclass
from typing import Any

from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.metrics import CORRELATION as _CORRELATION
from kd.axes.metrics import METRICS as TASK_METRICS
from kd.axes.metrics import SHARE as _SHARE
from kd.axes.metrics import column_of


@dataclass(frozen=True)
class Column:
    """One column: `kind` is text, number or integer; `unit` is empty for text and plain counts."""

    kind: str
    unit: str
    meaning: str


def _text(meaning: str) -> Column:
    return Column("text", "", meaning)


def _count(meaning: str, unit: str = "") -> Column:
    return Column("integer", unit, meaning)


def _number(unit: str, meaning: str) -> Column:
    return Column("number", unit, meaning)


# What one evaluated run measures; a key is left out where it has no value.
METRICS: dict[str, Column] = {
    "score": _number(
        "fraction", "mean of the task's official metrics, as on the GLUE leaderboard; dev split"
    ),
    "accuracy": _number(_SHARE, "share of right answers; for MNLI, on the matched split"),
    "f1": _number(_SHARE, "F1 of the positive class, the second label"),
    "matthews": _number(_CORRELATION, "Matthews correlation (CoLA)"),
    "pearson": _number(_CORRELATION, "Pearson correlation (STS-B); 0 for a constant prediction"),
    "spearman": _number(_CORRELATION, "Spearman correlation (STS-B); 0 for a constant prediction"),
    "accuracy_mm": _number(_SHARE, "accuracy on MNLI's mismatched split"),
    "split": _text("the split on which the score is measured; always `dev`"),
    "examples_eval": _count("examples on which the score is measured"),
    "teacher_score": _number("fraction", "score of the run's teacher on the same split"),
    "majority_score": _number("fraction", "score of the best constant answer on the same split"),
    "student_layers": _count("layers of the student"),
    "student_hidden": _count("hidden size of the student"),
    "student_parameters": _count("parameters of the student, all of them"),
    "student_nonembedding_parameters": _count("parameters of the student without embeddings"),
    "stage_id": _text("the stage before the task that the student starts from"),
    "stage_steps": _count("optimiser steps of that stage"),
    "stage_tokens": _count("tokens that it read, repetition included"),
    "stage_seconds": _number(
        "s", "time of its training, once for all runs that start from it; no part of train_seconds"
    ),
    "stage_loss_before": _number("", "its loss on the held-out text of the corpus, at its start"),
    "stage_loss": _number("", "its loss on the held-out text of the corpus, at its end"),
    "teacher_parameters": _count("parameters of the teacher, all of them"),
    "steps": _count("optimiser steps of the training"),
    "examples_train": _count(
        "training examples that the student learned from, without extra examples"
    ),
    "final_loss": _number("", "training loss, mean of the last steps, weighted sum of all terms"),
    "weights_used": _text(
        "the weights in force, calibrated ones as they were found; factors of balanced ones are "
        "in the history"
    ),
    "teacher_outputs_stored": _count("features of the teacher that were read from the store"),
    "teacher_outputs_computed": _count("features of the teacher that the run computed itself"),
    "train_seconds": _number("s", "time of the training loop, without loading"),
    "examples_per_second": _number("1/s", "training examples, repetitions counted, per second"),
    "evaluate_seconds": _number("s", "time of the evaluation, in batches of 64"),
    "peak_memory_bytes": _count("highest memory of the GPU while training", "B"),
    "micro_batch": _count(
        "examples in the encoder at once: fewer than batch_size, where memory ran out"
    ),
    "precision_used": _text("fp32, or bf16 for autocast"),
    "device": _text("GPU or processor of the training"),
    "threads": _count("CPU threads of the training"),
    "kd_version": _text("version of this program, at the training"),
    "torch_version": _text("version of torch, at the training"),
    "transformers_version": _text("version of transformers, at the training"),
    "python_version": _text("version of Python, at the training"),
    "data_source": _text("hub, tsv, synthetic, or files for a task of the user's own"),
    "data_fingerprint": _text("hash of the task's text"),
    "teacher_id": _text("id of the teacher"),
    "teacher_fingerprint": _text("hash of the teacher's weights"),
    "model_fingerprint": _text("hash of the student's weights"),
    "created": _text("UTC time of the evaluation, ISO 8601"),
    "latency_seconds": _number("s", "median time of one example alone (batch of 1), after warm-up"),
    "teacher_shape": _text("shape of the teacher, written like the student's"),
    "teacher_latency_seconds": _number("s", "`latency_seconds` of the teacher"),
    "evaluated_on": _text("GPU or processor of the evaluation, and of `latency_seconds`"),
    "evaluated_threads": _count("CPU threads of the evaluation"),
    "evaluated_with": _text("versions of kd, torch, transformers and Python at the evaluation"),
    "teacher_evaluated_on": _text("GPU or processor of `teacher_latency_seconds`"),
    "student_dtype": _text("dtype of the student's weights, trained and exported"),
    "teacher_dtype": _text("dtype of the teacher's weights"),
    "teacher_revision": _text("commit of the hub model that the teacher was loaded from"),
    "tokenizer_fingerprint": _text("hash of the tokenizer that was used, without its length limit"),
    "data_revision": _text(
        "commit of the hub data that were loaded; the revision asked for, where it is not known"
    ),
    "data_broken_rows": _count("rows of QQP's official files that are broken and left out"),
    "r2": _number(
        "at most 1", "R² of the scores (STS-B); below 0, their scale is not that of the labels"
    ),
    "teacher_majority_score": _number("fraction", "`majority_score` of the teacher"),
    "teacher_warning": _text("why the teacher is no better than a constant answer, if so"),
    "score_se": _number(
        "fraction",
        "standard error of `score` over dev examples, by bootstrap; blank where all answers are "
        "right",
    ),
    "nll": _number(
        "nats",
        "mean negative log-likelihood of the labels; blank for a regression; for a multi-label "
        "task the mean over labels too",
    ),
    "brier": _number(
        "0 to 2",
        "mean of the sum over classes of (p − [label])²; for a multi-label task the mean over "
        "labels of (p − [has it])², at most 1",
    ),
    "ece": _number(
        _SHARE,
        "expected calibration error: mean |accuracy − confidence| over 15 bins of equal width of "
        "the highest probability; for a multi-label task |share that has the label − p| over bins "
        "of p, over all labels",
    ),
    "teacher_nll": _number("nats", "`nll` of the teacher"),
    "teacher_brier": _number("0 to 2", "`brier` of the teacher"),
    "teacher_ece": _number(_SHARE, "`ece` of the teacher"),
    "agreement": _number(
        _CORRELATION,
        "share of dev examples for which student and teacher choose the same class; of a "
        "multi-label task, share of all labels of all examples for which both say yes or both no; "
        "for a regression, the Pearson correlation of their scores",
    ),
    "agreement_where_teacher_errs": _number(
        _SHARE,
        "`agreement` on the examples (labels of examples) that the teacher gets wrong; blank if it "
        "gets all right",
    ),
    "teacher_kl": _number(
        "nats",
        "KL(teacher || student) of the probabilities at temperature 1, mean over examples, and "
        "over labels in a multi-label task",
    ),
    "predictions_fingerprint": _text("hash of predictions.parquet"),
    "teacher_difference": _number("", "mean of student − teacher of the scores of a regression"),
    **{
        column_of(name): _number(row.unit, row.meaning)
        for name, row in TASK_METRICS.items()
        if name not in ("accuracy", "f1", "matthews", "pearson", "spearman")
        and not row.function  # the table does not depend on the plugins of a study
    },
    "metrics": _text("the metrics whose mean is the score, joined by +"),
    "classes": _count("labels of the task; 1 for a regression"),
    "task_kind": _text(
        "what the task asks of a text: `classes` (one label), `scores` (a regression) or `labels` "
        "(any number of labels); blank in older records"
    ),
    "data_repeated": _count(
        "training examples of a task of the user's own whose text an earlier one has"
    ),
    "data_shared": _count(
        "dev examples of a task of the user's own whose text is in the training split too"
    ),
    "slice_score": _number(
        "fraction",
        "score on the held-out slice of the training examples (`held_out`), by the metrics of the "
        "dev split; what is tuned (`select`) is selected by it",
    ),
    "slice_examples": _count("examples on which `slice_score` is measured"),
    "teacher_slice_score": _number("fraction", "`slice_score` of the teacher"),
    "teacher_candidates": _text(
        "for a teacher that was selected, the slice score and the dev score of each recipe"
    ),
    "teacher_run": _text("the run whose student the teacher is, for a teacher assistant"),
    "teacher_chain": _text(
        "for a teacher assistant, the shapes of the teachers from the first one to it"
    ),
    "teacher_chain_seconds": _number(
        "s", "time of training the students of that chain, which all runs of the teacher share"
    ),
    "plugins": _text(
        "plugins that the run uses, each its file and the first 12 digits of its SHA-256, joined "
        "by ;"
    ),
    "examples_extra": _count(
        "extra examples that the student learned from, which have no labels: augmented ones and "
        "those of a transfer set"
    ),
}

_STATE = {
    "run": _text("id of the run; its folder is results/runs/RUN"),
    "status": _text("done, running, stopped, failed or missing"),
    "error": _text("last error line of a run that failed"),
}
_OBJECTIVE = {"objective": _text("the terms as they were trained: knowledge:matching@pairs")}
# Only in runs.csv: the training's history, so that learning curves need no other file.
_HISTORY = {
    "history": _text(
        "learning curves: `step=25 50;loss=0.71 0.62;hard=0.70 0.61`, means of up to 20 stretches, "
        "one series for the loss and each of its unweighted terms, `nan` where its weight is 0, "
        "and `dev_score` where the study asks for it (`evaluate_every`)"
    )
}

# Only in runs.csv, the same in every row: what the study tunes, the part of its grid, its looks.
WHOLE = {
    "select": _text(
        "what the study selects on the slice, as JSON: `axes` (the values of each, in the study's "
        "order) and `cells` (the axes that tell its cells apart); blank where it selects nothing"
    ),
    "design": _text(
        "the part of the grid that the study runs, as JSON: `kind` (fraction or random), `cells` "
        "of the `possible` ones, `pairs` of axes that it asks for; blank where it runs all cells"
    ),
    "looks": _text(
        "the numbers of seeds at which the study is looked at, as `3 5 8`; blank where its number "
        "of seeds is fixed"
    ),
}


def _field(name: str) -> Column:
    default = f"; default {RUN_DEFAULTS[name]}" if name in RUN_DEFAULTS else ""
    return _text(f"{RUN_FIELDS[name].meaning}{default}")


COLUMNS: dict[str, Column] = {
    **_STATE,
    **{name: _field(name) for name in RUN_FIELDS},
    **_OBJECTIVE,
    **METRICS,
    **_HISTORY,
    **WHOLE,
}


# `accuracy@hard`: a metric, or the score, on a further dev split of a task of the user's own.
SPLIT_COLUMN = "^[a-z0-9_]+@[a-z0-9-]+$"

# How far a student agrees with a teacher, which may be one that it did not learn from.
FIDELITY = ("agreement", "agreement_where_teacher_errs", "teacher_kl", "teacher_difference")

# What can make runs with the same spec differ: versions, hardware and data.
ENVIRONMENT = (
    *("kd_version", "torch_version", "transformers_version", "python_version", "device", "threads"),
    *("evaluated_on", "evaluated_threads", "evaluated_with"),
    *("precision_used", "data_source", "data_fingerprint", "data_revision"),
    *("tokenizer_fingerprint", "student_dtype", "teacher_dtype", "split"),
)


def numbers() -> list[str]:
    """The columns that hold measurements. Axis values are texts, as they were written."""
    return [name for name, column in COLUMNS.items() if column.kind != "text"]


def runs_schema() -> dict[str, Any]:
    """The Table Schema (specs.frictionlessdata.io/table-schema) of runs.csv."""
    kinds = {"text": "string", "number": "number", "integer": "integer"}
    fields = [
        {
            "name": name,
            "type": kinds[column.kind],
            "description": column.meaning + f" ({column.unit})" * bool(column.unit),
        }
        for name, column in COLUMNS.items()
    ]
    return {"fields": fields, "missingValues": [""], "primaryKey": ["run"]}


def metrics_schema() -> dict[str, Any]:
    """The JSON schema of a run's metrics.json."""
    # A measurement that a device does not give is null.
    kinds = {"text": "string", "number": ["number", "null"], "integer": ["integer", "null"]}
    own = {
        "metrics_version": _count("only in records of older versions; not read"),
        "run": _STATE["run"],
        **_OBJECTIVE,
        **METRICS,
        "seal": _text("checksum of the other keys"),
    }
    properties = {
        name: {
            "type": kinds[column.kind],
            "description": column.meaning + f" ({column.unit})" * bool(column.unit),
        }
        for name, column in own.items()
    }
    values = {
        name: {"description": f"{field.meaning}; left out where it cannot affect the run"}
        for name, field in RUN_FIELDS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "metrics.json: the record of one evaluated run",
        "type": "object",
        "properties": {**values, **properties},
        "required": ["run", "task", "student", "objective", "score", "split"],
        "patternProperties": {
            SPLIT_COLUMN: {"type": "number", "description": "of a further dev split"}
        },
        "additionalProperties": False,
    }


def columns_text() -> str:
    """docs/columns.md."""
    lines = [
        "# Columns of runs.csv, keys of metrics.json",
        "",
        "`python -m kd schema columns` prints this page, and a test keeps it up to date.",
        "",
        "`runs.csv` has one row for each run, also for runs that are not done (`status`). A blank",
        "cell is unknown. In an axis column, `-` means that the field cannot affect the run, and",
        "`a = b` means that the run stands for both values. `metrics.json` has the same keys,",
        "except status, error and history, and leaves out keys without a value. Scores are",
        "fractions; tables and figures show points (× 100). Columns are added but never removed,",
        "so files of older versions stay readable. Two kinds of columns are not in this table:",
        "`score@SPLIT` and `METRIC@SPLIT` of further dev splits of your own tasks, and metrics of",
        "plugins. The tables are also in `workflow/schemas/` for programs, as `runs.schema.json`",
        "(Table Schema) and `metrics.schema.json` (JSON Schema).",
        "",
        "| column | kind | unit | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {'axis' if name in RUN_FIELDS else column.kind} | {column.unit} | "
        f"{column.meaning.replace('|', chr(92) + '|')} |"
        for name, column in COLUMNS.items()
    ]
    return "\n".join(lines) + "\n"
