"""Tables of students, initialisations, teachers, tasks, and all keys of a run."""

from kd.axes import when
from kd.axes.architectures import ARCHS, SCRATCH_ARCHS, arch_facts, attention_obstacle
from kd.axes.fields import RUN_DEFAULTS, RUN_FIELDS
from kd.axes.initialisations import INIT_FORMS, INITIALISATIONS
from kd.axes.pretrained import HUB_ENCODERS
from kd.axes.section import WHEN, Section
from kd.axes.shapes import NAMED, TOKENS
from kd.axes.tasks import TASKS


def student_sections() -> list[Section]:
    """In the order of the page."""
    return [_student(), _init(), _teacher(), _task(), _settings()]


def _student() -> Section:
    return Section(
        "student",
        "LAYERSL-HIDDEN, as `6L-384`; LAYERSL-HIDDEN-HEADSh-FFN, as `6L-384-12h-1536`; or a name. "
        "Left out, heads are 12 where they divide a width of 192 or more, else one per 64, and the "
        "feed-forward size is 4 H. The axis line `student: {iso-params: 6L-384, layers: [3, 6, "
        "12]}` (also iso-nonembedding, iso-flops) stands for shapes of equal size; `kd shapes` "
        "lists them. Sizes are of a BERT encoder with 30522 words.",
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
                row.source,
            )
            for name, row in NAMED.items()
        ],
    )


def _init() -> Section:
    rows = [(name, row.meaning, row.source) for name, row in INITIALISATIONS.items()]
    rows += [(form, *facts) for form, facts in INIT_FORMS.items()]
    return Section(
        "init",
        "How the student's weights start. `init.json` of a run says for each tensor where it came "
        "from.",
        ("init", "meaning", WHEN, "source"),
        [(name, meaning, when.INIT[name], source) for name, meaning, source in rows],
    )


def _teacher() -> Section:
    known = {arch: [n for n, e in HUB_ENCODERS.items() if e.arch == arch] for arch in ARCHS}
    return Section(
        "teacher",
        "A hub id, a local folder, or `scratch` (a random encoder, for generated tasks). The "
        "student has the teacher's kind of encoder, tokenizer and vocabulary. Hub models that are "
        "not named here need `shape`.",
        ("encoder", "attention knowledge", "scratch", "hub models known here"),
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
    """The 24 miniatures in one."""
    small = [name for name in names if name.startswith("google/bert_uncased_L-")]
    pattern = ["google/bert_uncased_L-{2..12}_H-{128..768}_A-{H/64}"] if small else []
    return [name for name in names if name not in small] + pattern


def _task() -> Section:
    return Section(
        "task",
        "GLUE (arXiv:1804.07461), scored on the dev split by the official metrics; the score is "
        "their mean. WNLI's dev split is adversarial to its training split.",
        ("task", "metrics", "classes", "training examples", "mean tokens"),
        [
            (
                name,
                ", ".join(row.metrics),
                "regression" if row.regression else str(row.outputs),
                "generated" if row.synthetic else f"{row.examples}",
                str(row.tokens),
            )
            for name, row in TASKS.items()
        ],
    )


def _settings() -> Section:
    return Section(
        "settings",
        "Every key of a run; each can be an axis.",
        ("key", "default", "meaning"),
        [
            (name, str(RUN_DEFAULTS.get(name, "must be given")).lower(), field.meaning)
            for name, field in RUN_FIELDS.items()
        ],
    )
