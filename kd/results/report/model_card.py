"""The model card of an exported student: README.md with the metadata of the Hugging Face hub.

All that it states is a fact of the run's record or was measured at the export; what nobody can
know from these (licence, intended use) is left to fill in, and says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from kd.axes.citations import Citation, bibtex
from kd.axes.initialisations import INITIALISATIONS
from kd.axes.kinds import CLASSES, LABELS, SCORES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.pretrained import HUB_ENCODERS, SCRATCH
from kd.axes.tasks import TASKS, Task, described
from kd.axes.terms import matchings_of, parse_knowledge
from kd.data.identity import HUB_DATASET
from kd.results.best_students import BestStudent
from kd.results.report.model_card_measured import scores_section, speed_section, words
from kd.runtime.words import count
from kd.study.assistant_keys import RUN, first_teacher

_HUB_METRICS = {"matthews": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr"}


_HARD = {
    CLASSES: "the labels' cross-entropy",
    SCORES: "the squared error of the labels",
    LABELS: "the binary cross-entropy of each label",
}


def model_card(
    facts: Mapping[str, Any], best: BestStudent | None, works: Sequence[Citation], name: str
) -> str:
    """README.md.

    Args:
        facts: what `jobs.export.export` returned.
        best: how the run was chosen among a study's; None: by name.
        works: what to cite.
        name: a name for the model, of its folder.
    """
    task = facts["record"]["task"]
    row = TASKS[task] if task in TASKS else described(task, facts["task"])
    parts = [
        _metadata(facts, row, name),
        f"# {name}\n\n{_summary(facts, row)}",
        _use(name, row),
        _method(facts, row),
        scores_section(facts, best),
        speed_section(facts),
        _limits(facts, row, best),
        _licence(facts),
        _citation(works),
        _provenance(facts),
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(facts: Mapping[str, Any], row: Task, name: str) -> str:
    spec, scores = facts["spec"], facts["metrics"]["pytorch"]
    data: dict[str, Any] = {"library_name": "transformers", "pipeline_tag": "text-classification"}
    model = first_teacher(spec["teacher"]).get("model")  # a local folder has none
    if model in HUB_ENCODERS:
        data["base_model"] = model
    if row.folder:
        data |= {"language": ["en"], "datasets": [HUB_DATASET]}
    data["metrics"] = [_HUB_METRICS.get(name, name) for name in row.metrics]
    data["tags"] = ["knowledge-distillation", "onnx"]
    results = [
        {"type": _HUB_METRICS.get(metric, metric), "value": round(scores[metric], 4)}
        for metric in row.metrics
    ]
    dataset = {
        "name": row.title,
        "type": HUB_DATASET if row.folder else "generated" if row.synthetic else "own",
    }
    if row.folder:
        dataset |= {"config": facts["record"]["task"], "split": "validation"}
    task = {"type": "text-classification"}
    data["model-index"] = [
        {"name": name, "results": [{"task": task, "dataset": dataset, "metrics": results}]}
    ]
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return f"---\n{text}# license: fill in; see the section Licence\n---"


def _summary(facts: Mapping[str, Any], row: Task) -> str:
    record = facts["record"]
    teacher = record.get("teacher_parameters")
    ratio = (
        f", {record['student_parameters'] / teacher:.0%} of its teacher's {_millions(teacher)}"
        if teacher
        else ""
    )
    names = words([f"`{word}`" for word in row.words], "and")
    kind = {
        CLASSES: f"chooses between {names}",
        SCORES: "gives a score",
        LABELS: f"gives each of {names} a probability, so that a text may have any number of them",
    }[row.kind]
    return (
        f"An encoder with {count(int(record['student_layers']), 'layer')} and a hidden size of "
        f"{record['student_hidden']} that {kind} ({row.title}). It has "
        f"{_millions(record['student_parameters'])} parameters{ratio}."
    )


def _use(name: str, row: Task) -> str:
    inputs = '"a sentence"' if len(row.columns) == 1 else '"a sentence", "another one"'
    answer = {
        CLASSES: "[model.config.id2label[i] for i in logits.argmax(-1).tolist()]",
        SCORES: "logits[:, 0]",
        LABELS: "[[model.config.id2label[i] for i in row.nonzero()[:, 0].tolist()] "
        "for row in logits.sigmoid() > 0.5]",
    }[row.kind]
    return f"""## Use

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = "{name}"  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
inputs = tokenizer({inputs}, truncation=True, return_tensors="pt")
logits = model(**inputs).logits
print({answer})
```

With ONNX Runtime alone:

```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{name}")
session = onnxruntime.InferenceSession("{name}/onnx/model.onnx")
inputs = tokenizer({inputs}, truncation=True, return_tensors="np")
names = [node.name for node in session.get_inputs()]
(logits,) = session.run(["logits"], {{n: inputs[n].astype("int64") for n in names}})
```{_SIGMOID if row.kind is LABELS else ""}"""


_SIGMOID = """

The graph ends with the logits, without the sigmoid. The probability of a label is
`1 / (1 + exp(-logit))`. A text has the labels whose probability is above 0.5, that is, whose
logit is above 0, and the scores below are of this threshold. The `text-classification` pipeline
of transformers applies the sigmoid itself (`top_k=None` gives all labels)."""


def _method(facts: Mapping[str, Any], row: Task) -> str:
    record, spec = facts["record"], facts["spec"]
    terms = parse_knowledge(record["objective"].replace(" ", ""))
    lines = ["## How it was trained", ""]
    if not terms:
        lines.append("It was trained on the labels alone, without a teacher.")
    else:
        lines += [
            f"It was distilled from {_teacher(facts)}. Beside {_HARD[row.kind]} "
            f"(weight {record.get('hard_weight', 1)}) it minimised",
            "",
        ]
        for term in terms:
            knowledge = KNOWLEDGE[term.knowledge]
            matching = matchings_of(term.knowledge, row.kind)[str(term.matching)]
            lines.append(
                f"- `{term}`: {knowledge.meaning}, compared by {matching.formula}"
                + (" (pairs are teacher layer-student layer)" if "@" in str(term) else "")
            )
    init = record.get("init", "random")
    start = INITIALISATIONS[init].meaning if init in INITIALISATIONS else init
    lines += [
        "",
        f"It started from: {start} (`{init}`). Epochs: {record['epochs']}; steps: "
        f"{record['steps']:,}; batch size: {record['batch_size']}; learning rate: "
        f"{record['learning_rate']}; longest input: {record['max_length']} tokens; seed: "
        f"{record['seed']}; precision: {record['precision_used']}.",
        "",
        f"Data: {row.title}, {record['examples_train']:,} training examples (source: "
        f"{spec['data']['source']}, fingerprint `{record['data_fingerprint']}`).",
    ]
    return "\n".join(lines)


def _teacher(facts: Mapping[str, Any]) -> str:
    record, teacher = facts["record"], facts["spec"]["teacher"]
    model = first_teacher(teacher).get("model")
    if model == SCRATCH:
        encoder = "an encoder trained from random weights"
    elif model in HUB_ENCODERS:
        encoder = f"`{model}`, fine-tuned on the task"
    elif RUN in teacher:
        encoder = "a fine-tuned encoder"
    else:
        encoder = f"a fine-tuned encoder (`{record['teacher_id']}`)"
    if RUN in teacher:
        chain = record.get("teacher_chain", "")
        encoder = f"a teacher assistant ({chain}; the first teacher is {encoder})"
    shape, score = record.get("teacher_shape"), record.get("teacher_score")
    size = f" with the shape {shape}" if shape else ""
    return f"{encoder}{size}" + (f" and a score of {100 * score:.1f}" if score is not None else "")


def _limits(facts: Mapping[str, Any], row: Task, best: BestStudent | None) -> str:
    record = facts["record"]
    lines = [
        "## Limits",
        "",
        f"- It knows one task, {row.title}, and the kind of text of its training data.",
        f"- Inputs longer than {record['max_length']} tokens are cut.",
        "- Its scores are of the dev split; it has no score on a test split.",
        "- Intended use, and uses to avoid: fill in.",
    ]
    if best is None or best.seeds < 3:
        lines.append("- How much its score depends on the seed was not measured well.")
    return "\n".join(lines)


def _licence(facts: Mapping[str, Any]) -> str:
    return (
        "## Licence\n\nFill in. The licences of the teacher's weights, of the tokenizer and of the "
        "training data apply to what is made of them; check each."
    )


def _citation(works: Sequence[Citation]) -> str:
    return (
        "## Citation\n\nThe works that this model uses, also in `citations.bib`:\n\n"
        f"```bibtex\n{bibtex(works)}```"
    )


def _provenance(facts: Mapping[str, Any]) -> str:
    record = facts["record"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return (
        f"## Provenance\n\nRun `{record['run']}`, trained on {record.get('device', '?')} with "
        f"torch {record.get('torch_version', '?')} and transformers "
        f"{record.get('transformers_version', '?')}. Weights: `{record['model_fingerprint']}`. "
        f"Exported with {versions}. All measurements are in `export.json`."
    )


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f} million" if count >= 1e6 else f"{count:,.0f}"
