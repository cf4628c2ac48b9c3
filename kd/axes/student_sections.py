"""Tables of students, initialisations, teachers, tasks, and all keys of a run."""

from typing import Any

from kd.axes import when
from kd.axes.architectures import ARCHS, SCRATCH_ARCHS, arch_facts, attention_obstacle
from kd.axes.extra import AUGMENTATIONS, TRANSFER_KEYS
from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.figures import FIGURES, PLAIN
from kd.axes.initialisations import INIT_FORMS, INITIALISATIONS
from kd.axes.kinds import SCORES
from kd.axes.metrics import METRICS
from kd.axes.plugins import source_text
from kd.axes.pretrained import HUB_ENCODERS
from kd.axes.section import WHEN, Section
from kd.axes.shapes import NAMED, TOKENS
from kd.axes.stages import CORPUS_DEFAULTS, CORPUS_FIELDS, STAGE_DEFAULTS, STAGE_FIELDS
from kd.axes.tasks import TASKS


def student_sections() -> list[Section]:
    """The sections of this file, in the order of the page."""
    return [
        _student(),
        _init(),
        _stages(),
        _augmentation(),
        _transfer(),
        _teacher(),
        _task(),
        _metrics(),
        _figures(),
        _settings(),
    ]


def _student() -> Section:
    return Section(
        "student",
        "The shape of the student: layers and hidden size, as in `6L-384`; with heads and "
        "feed-forward size, as in `6L-384-12h-1536`; or a name of this table. If heads are left "
        "out, there are 12 if the width is at least 192 and 12 divides it, and otherwise one for "
        "each 64 of the width. If the feed-forward size is left out, it is 4 H. The axis "
        "`student: {iso-params: 6L-384, layers: [3, 6, 12]}` (or iso-nonembedding, iso-flops) "
        "stands for shapes of equal size, which `kd shapes` lists. Sizes are those of a BERT "
        "encoder with 30522 words.",
        (
            "name",
            "shape",
            "parameters",
            "without embeddings",
            f"GFLOPs of {TOKENS} tokens",
            "source",
        ),
        [
            (
                name,
                str(row.shape),
                f"{row.shape.parameters() / 1e6:.1f} M",
                f"{row.shape.nonembedding_parameters / 1e6:.1f} M",
                f"{row.shape.flops(TOKENS) / 1e9:.2f}",
                source_text(row),
            )
            for name, row in NAMED.items()
        ],
    )


def _init() -> Section:
    rows = [(name, row.meaning, source_text(row)) for name, row in INITIALISATIONS.items()]
    rows += [(form, *facts) for form, facts in INIT_FORMS.items()]
    return Section(
        "init",
        "The weights with which the student starts. Where these are the teacher's layers, the "
        "embeddings, the pooler and the head come from the teacher too, which was fine-tuned on "
        "the task. So `teacher-first` and `random` differ in more than the layers. The file "
        "`init.json` of a run says where each tensor came from.",
        ("init", "meaning", WHEN, "source"),
        [(name, meaning, when.INIT.get(name, ""), source) for name, meaning, source in rows],
    )


def _stages() -> Section:
    corpus = [
        (f"corpus.{name}", _default(CORPUS_DEFAULTS, name, "none"), field.meaning)
        for name, field in CORPUS_FIELDS.items()
    ]
    return Section(
        "stages",
        "Keys of a stage before the task (docs/stages.md), whose student is a value of `init`. The "
        "corpus has `files` or `hub`; `steps` or `tokens` must be given.",
        ("key", "default", "meaning"),
        [
            *corpus,
            *(
                (name, _default(STAGE_DEFAULTS, name, "must be given"), field.meaning)
                for name, field in STAGE_FIELDS.items()
            ),
        ],
    )


def _default(defaults: dict[str, Any], name: str, without: str) -> str:
    return str(defaults.get(name, without))


def _augmentation() -> Section:
    return Section(
        "augmentation",
        "How more examples are made from those of the training set (docs/extra-examples.md). They "
        "have no labels. The teacher labels them, and the hard-label loss leaves them out. `none` "
        "makes no examples. The keys augmentation_... are among the settings.",
        ("augmentation", "meaning", WHEN, "source"),
        [
            (name, row.meaning, when.AUGMENTATION[name], row.source)
            for name, row in AUGMENTATIONS.items()
        ],
    )


def _transfer() -> Section:
    return Section(
        "transfer",
        "Keys of a set of texts without labels, under `transfer` in a study "
        "(docs/extra-examples.md). A run names a set. With `transfer: NAME` it learns from these "
        "texts beside the training set, and with `transfer: alone:NAME` from them alone, without "
        "any label.",
        ("key", "meaning"),
        list(TRANSFER_KEYS.items()),
    )


def _teacher() -> Section:
    known = {arch: [n for n, e in HUB_ENCODERS.items() if e.arch == arch] for arch in ARCHS}
    return Section(
        "teacher",
        "A hub id, a local folder, or `scratch` (a random encoder, for generated tasks; its "
        "default recipe is 6 epochs at 5e-4). The student has the architecture, tokenizer and "
        "vocabulary of the teacher. If a hub model is not in this table, its config.json is "
        "fetched once. A teacher can also be the student of a run (`run`), which is a teacher "
        "assistant (arXiv:1902.03393; docs/assistants.md).",
        ("architecture", "attention can be captured", "scratch", "known hub models"),
        [
            (
                arch,
                f"no: {obstacle}"
                if (obstacle := attention_obstacle(arch))
                else f"yes{arch_facts(arch).remark}",
                "yes" if arch in SCRATCH_ARCHS else "no",
                ", ".join(_shortened(names)),
            )
            for arch, names in known.items()
        ],
    )


def _shortened(names: list[str]) -> list[str]:
    """The names, with one pattern in place of Google's 24 miniatures."""
    small = [name for name in names if name.startswith("google/bert_uncased_L-")]
    pattern = ["google/bert_uncased_L-{2..12}_H-{128..768}_A-{H/64}"] if small else []
    return [name for name in names if name not in small] + pattern


def _task() -> Section:
    return Section(
        "task",
        "The tasks of GLUE (arXiv:1804.07461) and the generated tasks. The score is the mean of "
        "the official metrics on the dev split. The dev split of WNLI is adversarial to its "
        "training split.",
        ("task", "metrics", "classes", "training examples", "mean tokens"),
        [
            (
                name,
                ", ".join(row.metrics),
                "regression" if row.kind is SCORES else str(row.outputs),
                "generated" if row.synthetic else f"{row.examples}",
                str(row.tokens),
            )
            for name, row in TASKS.items()
        ],
    )


def _metrics() -> Section:
    return Section(
        "metrics",
        "The metrics of a task of your own (its key `metrics`). The score is the mean of those "
        "that can be a part of the score.",
        ("metric", "what it is", "of", "bounds", "part of the score", "source"),
        [
            (
                *(name, row.meaning, ", ".join(kind.name for kind in row.kinds), row.unit),
                *("yes" if row.scored else "no", source_text(row)),
            )
            for name, row in METRICS.items()
        ],
    )


def _figures() -> Section:
    return Section(
        "figures",
        "What the key `figures` of a study may name, beside `effect-AXIS`, `heatmap-AXIS-AXIS` and "
        "`heatmap-AXIS-task`.",
        ("figure", "what it shows", "source"),
        [
            *((name, text, "") for name, text in PLAIN.items()),
            *((name, row.caption, source_text(row)) for name, row in FIGURES.items()),
        ],
    )


def _settings() -> Section:
    return Section(
        "settings",
        "All keys of a run. Each can be an axis.",
        ("key", "default", "meaning"),
        [
            (name, str(RUN_DEFAULTS.get(name, "must be given")).lower(), field.meaning)
            for name, field in RUN_FIELDS.items()
        ],
    )
