"""The sources of the values of a run's axes, for citations."""

from collections.abc import Iterable, Iterator, Mapping

from kd.axes.citations import (
    ARCH_SOURCES,
    ASSISTANTS,
    GLUE,
    MODEL_SOURCES,
    TASK_SOURCES,
    Citation,
    cited_in,
)
from kd.axes.errata import (
    ERRATA,
    PROBABILITY_SHIFT_SOURCE,
    TEMPERATURE_SCHEDULES,
    errata_of,
)
from kd.axes.extra import AUGMENTATIONS
from kd.axes.initialisations import EXPLICIT, INIT_FORMS, INITIALISATIONS, STAGE, TRUNCATE
from kd.axes.kinds import CLASSES, KINDS, SCORES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.labels import INERT, parts
from kd.axes.mappings import mapping_source
from kd.axes.presets import preset_names, read_preset
from kd.axes.projections import PROJECTIONS
from kd.axes.shapes import NAMED
from kd.axes.tasks import TASKS
from kd.axes.terms import matchings_of, parse_knowledge
from kd.axes.weights import BALANCED_SOURCE, RAMP_SOURCE, WINDOW_SOURCE
from kd.study.run import Run


def citations_of(run: Run) -> list[Citation]:
    """The works that the run uses, each once: those of its objective, then of its initialisation,
    shape, encoders and task, and those of a teacher assistant."""
    used = [run.teacher.encoder, *([run.donor] if run.donor else [])]
    encoders = [(encoder.location, encoder.arch) for encoder in used]
    row = {**run.labels, "objective": run.objective}
    if run.assistants:
        row["teacher_run"] = run.assistants[-1].id
    of_assistants = (work for earlier in run.assistants[-1:] for work in citations_of(earlier))
    return list(dict.fromkeys([*citations_of_row(row, encoders), *of_assistants]))


def citations_of_row(
    row: Mapping[str, str], encoders: Iterable[tuple[str, str]] = ()
) -> list[Citation]:
    """The works of a row of runs.csv. It names no encoders, so they are given as (model, arch)."""
    works = (work for source in _sources(row, encoders) for work in cited_in(source))
    return list(dict.fromkeys(works))


def _sources(row: Mapping[str, str], encoders: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The source texts of the values in a row."""
    task = TASKS.get(row["task"])
    # Records of older versions name no kind: theirs are classes, or one score.
    older = SCORES if row.get("classes") == "1" else CLASSES
    kind = task.kind if task else KINDS.get(row.get("task_kind", ""), older)
    for preset in _values(row, "preset"):
        if preset in preset_names():
            yield read_preset(preset)["source"]
    for term in parse_knowledge(row["objective"]):
        yield KNOWLEDGE[term.knowledge].source
        matchings = matchings_of(term.knowledge, kind)
        if term.matching in matchings:
            yield matchings[term.matching].source
    for mappings in _values(row, "mapping"):
        yield from map(mapping_source, mappings.split("+"))
    for projection in _values(row, "projection"):
        yield PROJECTIONS[projection].source
    weights = " ".join([row["objective"], *_values(row, "hard_weight")])
    yield from (source for sign, source in _WEIGHTS.items() if sign in weights)
    if "balanced" in _values(row, "weights"):
        yield BALANCED_SOURCE
    for schedule in _values(row, "temperature_schedule"):
        yield TEMPERATURE_SCHEDULES.get(schedule, "")
    if "True" in _values(row, "probability_shift"):
        yield PROBABILITY_SHIFT_SOURCE
    for errata in _values(row, "errata"):
        yield from (ERRATA[name].source for name in errata_of(errata))
    for name in _values(row, "augmentation"):
        if name in AUGMENTATIONS:
            yield AUGMENTATIONS[name].source
    for init in _values(row, "init"):
        yield from _start(init)
    yield _shape(row["student"])
    for model, arch in encoders:
        yield _encoder(model, arch)
    if row.get("teacher_run"):
        yield ASSISTANTS
    if row["task"] in TASK_SOURCES:
        yield from (GLUE, TASK_SOURCES[row["task"]])


_WEIGHTS = {"..": RAMP_SOURCE, "%": WINDOW_SOURCE}  # by the sign in the text of a weight


def _values(row: Mapping[str, str], axis: str) -> list[str]:
    """All values that a label stands for; [] if the axis has no effect on the run."""
    return [value for value in parts(row.get(axis, INERT)) if value not in (INERT, "")]


def _start(init: str) -> Iterator[str]:
    """The sources of the label of an init. For a pretrained encoder the label is its model."""
    name = init.removesuffix(TRUNCATE)
    written, cut, pretrained, stage = (source for _, source in INIT_FORMS.values())
    if name in INITIALISATIONS:
        yield INITIALISATIONS[name].source
    elif name.startswith(EXPLICIT):
        yield written
    elif name.startswith(STAGE):
        yield stage
    else:
        yield pretrained
    if name != init:
        yield cut


def _shape(shape: str) -> str:
    """The source of a shape if exactly one work has named it, else ''."""
    sources = {named.source for named in NAMED.values() if str(named.shape) == shape}
    return sources.pop() if len(sources) == 1 else ""


def _encoder(model: str, arch: str) -> str:
    """The source of published weights, or of the architecture if the table lacks the weights."""
    sources = [source for start, source in MODEL_SOURCES.items() if model.startswith(start)]
    return sources[0] if sources else ARCH_SOURCES.get(arch, "")
