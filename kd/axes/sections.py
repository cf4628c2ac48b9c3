"""One table for each axis with all its values, made from the tables of this folder."""

from typing import Any

from kd.axes import when
from kd.axes.errata import ERRATA, PROBABILITY_SHIFT_SOURCE, TEMPERATURE_SCHEDULES
from kd.axes.forms import FORMS
from kd.axes.kinds import CLASSES
from kd.axes.knowledge import KNOWLEDGE, Knowledge
from kd.axes.mappings import MAPPINGS
from kd.axes.matchings import MATCHINGS, Matching
from kd.axes.plugins import source_text
from kd.axes.presets import preset_names, read_preset
from kd.axes.projections import PROJECTIONS
from kd.axes.section import WHEN, Section
from kd.axes.student_sections import student_sections
from kd.axes.terms import matchings_of
from kd.axes.weights import BALANCED_SOURCE, RAMP_SOURCE, WINDOW_SOURCE


def sections() -> list[Section]:
    """All sections, in the order of the page."""
    return [
        *(_knowledge(), _matching(), _projection(), _mapping(), _weights(), _temperatures()),
        *(_errata(), _preset(), *student_sections()),
    ]


def _knowledge() -> Section:
    return Section(
        "knowledge",
        "What the student imitates. Terms `type[:matching][@mapping][*weight]` are joined by `+`, "
        "as in `logits+hidden:cosine@last-only*0.5`. `none` has no term and needs no teacher. The "
        "loss of a term is the mean over its layer pairs.",
        ("type", "what is compared", "matchings (default first)", "needs", WHEN, "source"),
        [
            (
                *(name, row.meaning, ", ".join(matchings_of(name, CLASSES)), _needs(row)),
                *(when.KNOWLEDGE.get(name, ""), source_text(row)),
            )
            for name, row in KNOWLEDGE.items()
        ],
    )


def _needs(row: Knowledge) -> str:
    needs = []
    if row.features[0] in ("query", "key", "value"):
        needs.append("an encoder whose attention can be captured")
    if row.form.relation_heads:
        needs.append("relation heads A_r that divide both widths")
    if row.fewest_pairs > 1:
        needs.append(f"at least {row.fewest_pairs} mapped layers, the same at every step")
    if row.classified:
        needs.append("projection where H differs")
    if not row.layered:
        needs.append("no mapping")
    elif not row.lowest_layer:
        needs.append("layer 0 (embeddings) allowed")
    return "; ".join(needs)


def _matching() -> Section:
    return Section(
        "matching",
        "How a tensor of the student is compared with one of the teacher. A term can name its "
        "matching. All other terms take the one under `matching`, where `default` is the first "
        "in the row of the knowledge type above. A cell is pruned if its matching is not defined "
        "for one of its terms.",
        ("matching", "of what", "formula", "needs", "value at S = T", WHEN, "source"),
        [
            (
                *(name, FORMS[form].shape, row.formula, _matching_needs(row), row.floor),
                *(when.MATCHING[form].get(name, ""), source_text(row)),
            )
            for form, table in MATCHINGS.items()
            for name, row in table.items()
        ],
    )


def _matching_needs(row: Matching) -> str:
    needs = []
    if row.same_width:
        needs.append("projection where H differs")
    if row.both_projected:
        needs.append("projection of both sides to 128")
    if row.same_heads:
        needs.append("equal h")
    if row.softened:
        needs.append("tau")
    if row.labelled:
        needs.append("labels")
    if row.fewest_classes > 1:
        needs.append(f"C >= {row.fewest_classes}")
    if row.fewest_examples > 1:
        needs.append(f"B >= {row.fewest_examples}")
    return ", ".join(needs)


def _projection() -> Section:
    return Section(
        "projection",
        "How vectors of the student are brought to the width of the teacher. A projection is used "
        "if a matching needs equal widths and they differ. `contrastive` always projects both "
        "sides to 128. Each term has its own projections. They are trained with the student and "
        "are not part of the exported model. The setting is dropped from a run without "
        "projections, and `shared` is `per-pair` in a run whose terms have one each.",
        ("projection", "meaning", WHEN, "source"),
        [
            (name, row.meaning, when.PROJECTION[name], row.source)
            for name, row in PROJECTIONS.items()
        ],
    )


def _mapping() -> Section:
    return Section(
        "mapping",
        "Which teacher layer teaches which student layer; s <- t means that layer t teaches layer "
        "s. A term can name its mapping, and all others take the one under `mapping`. Every "
        "mapping is defined for every T and S. A layer that does not exist is replaced by the "
        "nearest one. In `all-to-K` and `last-to-K`, K is a teacher layer; a cell with K above T "
        "is pruned. In `below-last-K`, K counts layers down from the last one; if S - K or T - K "
        "is below 1, layer 1 is taken. In the others K is a number of layers, and above S it means "
        "all layers. Explicit pairs are written TEACHER-STUDENT, as in `4-1,8-2,12-3`. Layer 0 "
        "is the embeddings. A moving mapping changes during the training, and a seeded one draws "
        "its pairs with the seed of the run.",
        ("mapping", "pairs", "kind", WHEN, "source"),
        [
            (
                name,
                row.formula,
                "; ".join(
                    word for word, true in (("moving", row.moving), ("seeded", row.seeded)) if true
                )
                or "fixed",
                when.MAPPING.get(name, ""),
                source_text(row),
            )
            for name, row in MAPPINGS.items()
        ],
    )


def _weights() -> Section:
    return Section(
        "weights",
        "The weight of a term stands after `*`, and the weight of the hard-label loss under "
        "`hard_weight`. With `weights: calibrated`, weights are shares of the gradient. On the "
        "first batch each weight is divided by the norm of the gradient of its term on the "
        "student, and then by the sum of all weights. The record of the run has the results. (So "
        "`cosine` and `normalised-mse` are then the same.) With `weights: balanced`, the loss of "
        "each term is scaled at every step to the size of the logits' loss, or of the hard-label "
        f"loss if no term has the logits, and then multiplied by its weight ({BALANCED_SOURCE}). "
        "The hard-label loss and the logits' term keep their weights. The history of the run has "
        "the factors.",
        ("weight", "meaning", "source"),
        [
            ("0.5", "the same at every step", ""),
            (
                "0..1",
                "changes linearly from the first to the second number in training",
                RAMP_SOURCE,
            ),
            (
                "1%0-80",
                "only in the first 80 percent of the steps, and 0 after that",
                WINDOW_SOURCE,
            ),
            ("1..0%0-50", "changes linearly within the window, and is 0 outside it", ""),
        ],
    )


def _temperatures() -> Section:
    return Section(
        "temperature_schedule",
        "The temperature of the soft labels of each example. `temperature` is tau. With "
        "`probability_shift: true`, the teacher's largest logit and its logit of the right class "
        f"are swapped ({PROBABILITY_SHIFT_SOURCE}). In a multi-label task, the sign of each logit "
        "for which the teacher is wrong is changed instead, and only `constant` is defined.",
        ("schedule", "temperature of an example"),
        list(TEMPERATURE_SCHEDULES.items()),
    )


def _errata() -> Section:
    return Section(
        "errata",
        "Known defects of published code, joined by `+`. All are off by default. As an axis they "
        "show how much a defect changes the score.",
        ("erratum", "what it does", "whose code has it"),
        [(name, row.meaning, row.source) for name, row in ERRATA.items()],
    )


def _preset_keys(found: dict[str, Any]) -> str:
    """The keys that a preset sets, of a run and of a stage before the task."""
    parts = {"": found["run"], "stage before the task: ": found.get("stage", {})}
    return "; ".join(
        start + "; ".join(f"{key}: {value}" for key, value in keys.items())
        for start, keys in parts.items()
        if keys
    )


def _preset() -> Section:
    return Section(
        "preset",
        "Published methods. Each is a file of `kd/axes/presets` and stands for the keys that it "
        "sets. A key that stands next to the preset, in the base or in the same entry of "
        "`include`, wins over it. Axes always win over presets. A preset that is a value of an "
        "axis wins over the base. Methods also differ in `epochs` and `learning_rate`. To give "
        "them all the same value, make the key an axis with one value. A preset with keys "
        "of a stage can also be the `preset` of a stage (docs/stages.md).",
        ("preset", "method", "keys", "deviations from the original", "source"),
        [
            (
                name,
                found["method"],
                _preset_keys(found),
                " ".join(found["deviations"]),
                found["source"],
            )
            for name in preset_names()
            for found in [read_preset(name)]
        ],
    )
