"""Every value of every axis, as a table for each axis, made from the tables of this folder."""

from kd.axes import when
from kd.axes.errata import ERRATA, PROBABILITY_SHIFT_SOURCE, TEMPERATURE_SCHEDULES
from kd.axes.forms import FORMS
from kd.axes.knowledge import KNOWLEDGE, Knowledge
from kd.axes.mappings import MAPPINGS
from kd.axes.matchings import MATCHINGS, Matching
from kd.axes.presets import preset_names, read_preset
from kd.axes.projections import PROJECTIONS
from kd.axes.section import WHEN, Section
from kd.axes.student_sections import student_sections
from kd.axes.weights import BALANCED_SOURCE, RAMP_SOURCE, WINDOW_SOURCE


def sections() -> list[Section]:
    """All of them, in the order of the page."""
    return [
        *(_knowledge(), _matching(), _projection(), _mapping(), _weights(), _temperatures()),
        *(_errata(), _preset(), *student_sections()),
    ]


def _knowledge() -> Section:
    return Section(
        "knowledge",
        "What is imitated: terms `type[:matching][@mapping][*weight]` joined by `+`, as in "
        "`logits+hidden:cosine@last-only*0.5`; `none` has no term and needs no teacher. A term is "
        "the mean over its layer pairs.",
        ("type", "what is compared", "matchings, the default first", "needs", WHEN, "source"),
        [
            (
                *(name, row.meaning, ", ".join(MATCHINGS[row.form.name]), _needs(row)),
                *(when.KNOWLEDGE[name], row.source),
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
        needs.append(f"{row.fewest_pairs} mapped layers or more, that stay mapped")
    if not row.layered:
        needs.append("no mapping")
    elif not row.lowest_layer:
        needs.append("layer 0 (embeddings) allowed")
    return "; ".join(needs)


def _matching() -> Section:
    return Section(
        "matching",
        "How two tensors are compared. A matching is written in the term, or, for terms that name "
        "none, under `matching`; `default` is the first of each kind. A cell whose matching is not "
        "defined for one of its terms is pruned.",
        ("matching", "of", "formula", "needs", "value at S = T", WHEN, "source"),
        [
            (
                *(name, FORMS[form].shape, row.formula, _matching_needs(row), row.floor),
                *(when.MATCHING[form][name], row.source),
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
        "What brings vectors of the student to the width of the teacher's, where a matching needs "
        "that and the widths differ; `contrastive` projects both sides to 128, whatever their "
        "width. Each term has its own. They are trained with the student and left out of the "
        "exported model. Without effect where no term has one, and `shared` where each has one.",
        ("projection", "meaning", WHEN, "source"),
        [
            (name, row.meaning, when.PROJECTION[name], row.source)
            for name, row in PROJECTIONS.items()
        ],
    )


def _mapping() -> Section:
    return Section(
        "mapping",
        "Which teacher layer teaches which student layer (s <- t); for terms that name none. All "
        "are defined for every T and S: a layer that is not there becomes the nearest one. The K "
        "of `all-to-K` and `last-to-K` is a teacher layer, and above T it is pruned. The K of "
        "`below-last-K` counts layers from the last one down: where S - K or T - K is below 1, it "
        "is layer 1. The K of the others counts layers, and above S it means all of them. Explicit "
        "pairs are written TEACHER-STUDENT: `4-1,8-2,12-3`; layer 0 is the embeddings.",
        ("mapping", "pairs", "kind", WHEN, "source"),
        [
            (
                name,
                row.formula,
                "; ".join(
                    word for word, true in (("moving", row.moving), ("seeded", row.seeded)) if true
                )
                or "fixed",
                when.MAPPING[name],
                row.source,
            )
            for name, row in MAPPINGS.items()
        ],
    )


def _weights() -> Section:
    return Section(
        "weights",
        "The weight of a term, after `*`, and of the hard-label loss, under `hard_weight`. With "
        "`weights: calibrated` they are shares: once, on the first batch, each is divided by the "
        "norm of its term's gradient on the student and by the sum of all. The weights in force "
        "are recorded with the run (so `cosine` and `normalised-mse` are then the same). With "
        "`weights: balanced` a term is multiplied, at every step, by the loss of the logits' term "
        "over its own loss (by the hard-label loss over its own, where no term has the logits): "
        f"what its weight is 1 for is as large as that loss ({BALANCED_SOURCE}). The hard-label "
        "loss and the logits' term keep their weights. The factors are in the history of the run.",
        ("weight", "meaning", "source"),
        [
            ("0.5", "the same at every step", ""),
            ("0..1", "from the one to the other, linearly over the training", RAMP_SOURCE),
            ("1%0-80", "in the first 80 percent of the steps only; 0 after", WINDOW_SOURCE),
            ("1..0%0-50", "both: linear over the window, 0 outside", ""),
        ],
    )


def _temperatures() -> Section:
    return Section(
        "temperature_schedule",
        "The temperature of the soft labels of each example; `temperature` is tau. "
        "`probability_shift: true` swaps the teacher's largest logit with that of the right class "
        f"({PROBABILITY_SHIFT_SOURCE}).",
        ("schedule", "temperature of an example"),
        list(TEMPERATURE_SCHEDULES.items()),
    )


def _errata() -> Section:
    return Section(
        "errata",
        "Well-known defects of published code, joined by `+`; off by default. As an axis they show "
        "what a defect is worth.",
        ("erratum", "what it does", "where it is found"),
        [(name, row.meaning, row.source) for name, row in ERRATA.items()],
    )


def _preset() -> Section:
    return Section(
        "preset",
        "Published methods, files of `kd/axes/presets`. A preset stands for the keys that it sets. "
        "Keys written beside it win: in the base for a preset of the base, in the same entry of "
        "`include`, and axes always. A preset that is an axis wins over the base. Methods differ "
        "in `epochs` and `learning_rate`: an axis of one value levels them.",
        ("preset", "method", "keys", "deviations from the original", "source"),
        [
            (
                name,
                found["method"],
                "; ".join(f"{k}: {v}" for k, v in found["run"].items()),
                " ".join(found["deviations"]),
                found["source"],
            )
            for name in preset_names()
            for found in [read_preset(name)]
        ],
    )
