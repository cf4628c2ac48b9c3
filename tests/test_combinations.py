"""Every combination of knowledge, matching and mapping: a run that learns, or pruned with a reason.

One study over the whole registries, expanded as any other; its distinct objectives are tried on
random features, a sample of them on real encoders.
"""

from collections import Counter

import pytest
import torch
from features import LABELS, MASK, classifier, features
from helpers import tiny_inputs, tiny_model
from studies import study_dict, write_study

from kd.axes.forms import LOGITS
from kd.axes.kinds import KINDS, SCORES
from kd.axes.knowledge import KNOWLEDGE
from kd.axes.mappings import MAPPINGS
from kd.axes.shapes import Shape, parse_shape
from kd.axes.tasks import TASKS
from kd.axes.terms import matchings_of
from kd.encoders.capture import Capture, capture_teacher
from kd.losses.moving import Moment
from kd.losses.objective import Objective, wanted_features
from kd.study.grid import Grid, load_grid
from kd.study.run import Run
from kd.study.terms import relation_heads

TEACHER = Shape(layers=4, hidden=24, heads=3, ffn=40)
STUDENTS = ("3L-24-3h-40", "2L-16-2h-32")
TASK_OF = {"mnli": 3, "rte": 2, "stsb": 1}  # outputs
PRUNED = (
    "compares head with head",
    "mixes the outputs of layers",
    "projects both sides",
    "relates at least 3 different layers",
    "fewer than 3 classes",
    "has no matching",
)
TAUGHT = [name for name, row in KNOWLEDGE.items() if not row.of_text]  # in a task
EVERY = 30  # one in so many objectives is tried on real encoders


@pytest.fixture(scope="module")
def grid(tmp_path_factory) -> Grid:
    """All of it as one study."""
    everything = [
        f"{name}:{matching}"
        for name in TAUGHT
        for kind in KINDS.values()
        for matching in matchings_of(name, kind)
    ]
    study = study_dict(
        teachers={"deep": {"model": "some/encoder", "shape": str(TEACHER)}},
        base={"hard_weight": 0},
        axes={
            "knowledge": list(dict.fromkeys(everything)),
            "mapping": [name.replace("K", "2") for name in MAPPINGS],
            "student": list(STUDENTS),
            "task": list(TASK_OF),
        },
    )
    return load_grid(write_study(tmp_path_factory.mktemp("combinations"), study))


@pytest.fixture(scope="module")
def objectives(grid) -> list[Run]:
    """A run for each distinct objective: tasks differ in what is compared only by their logits."""
    distinct = {}
    for run in grid.runs.values():
        of_logits = KNOWLEDGE[run.terms[0].knowledge].form is LOGITS
        classes = TASKS[run.task].outputs if of_logits else 0
        distinct.setdefault((run.objective, run.spec["student"], classes), run)
    return list(distinct.values())


def objective_of(run: Run) -> Objective:
    student = parse_shape(run.spec["student"])
    settings = {**run.values, "relation_heads": relation_heads(student, TEACHER)}
    task = TASKS[run.task]
    head = classifier(task.outputs, TEACHER.hidden)
    return Objective(run.terms, task.kind, student, TEACHER, settings, classifier=head)


def labels_of(run: Run) -> torch.Tensor:
    task = TASKS[run.task]
    return LABELS.float() if task.kind is SCORES else LABELS % task.outputs


def test_every_cell_is_a_run_or_pruned_with_a_reason(grid):
    reasons = Counter()
    for cell, reason in grid.pruned:
        known = [text for text in PRUNED if text in reason]
        assert len(known) == 1, f"{cell}: {reason}"
        reasons[known[0]] += 1
    assert set(reasons) == set(PRUNED), "a reason that never applies"
    assert len(grid.pruned) < grid.cells / 2
    terms = {(run.terms[0].knowledge, run.terms[0].matching) for run in grid.runs.values()}
    assert len(terms) == sum(len(matchings_of(name, False)) for name in TAUGHT)
    moving = {run.terms[0].moving for run in grid.runs.values()}
    assert moving == {"", *(name for name, row in MAPPINGS.items() if row.moving)}


@pytest.mark.slow
def test_every_objective_learns_from_random_features(objectives):
    teacher_features = {n: features(TEACHER, 9, n) for n in (1, 2, 3)}
    for run in objectives:
        outputs, shape = TASKS[run.task].outputs, parse_shape(run.spec["student"])
        made, where = objective_of(run), f"{run.task}, {run.spec['student']}: {run.objective}"
        student = features(shape, 1, outputs)
        wanted = wanted_features(run.terms, teacher=False) | {("logits", 0)}
        student = {key: student[key].requires_grad_() for key in wanted}
        taught = {k: teacher_features[outputs][k] for k in wanted_features(run.terms, True)}
        for step in range(2):
            loss, _ = made(student, taught, MASK, labels_of(run), Moment(step, 2, step, 1))
            assert loss.isfinite() and loss > 0, where
            loss.backward()
        slopes = [x.grad for x in student.values() if x.grad is not None]
        assert all(slope.isfinite().all() for slope in slopes), where
        assert any(slope.abs().max() > 0 for slope in slopes), f"{where}: no gradient"


def test_a_sample_learns_on_encoders(objectives):
    teachers = {n: tiny_model(shape=TEACHER, seed=7, labels=n).eval() for n in (1, 2, 3)}
    sample = objectives[::EVERY]
    assert len(sample) > 30
    for run in sample:
        outputs = TASKS[run.task].outputs
        student = tiny_model(shape=parse_shape(run.spec["student"]), seed=1, labels=outputs)
        teacher, made = teachers[outputs], objective_of(run)
        inputs = tiny_inputs(teacher, lengths=(7, 3, 5, 4))
        mask = inputs["attention_mask"].bool()
        with (
            Capture(student, wanted_features(run.terms, False) | {("logits", 0)}) as read,
            Capture(teacher, wanted_features(run.terms, True)) as taught,
        ):
            for step in range(2):
                found = read(**inputs), capture_teacher(taught, **inputs)
                loss, _ = made(*found, mask, labels_of(run), Moment(step, 2, step, 1))
                loss.backward()
                assert loss.isfinite() and loss > 0, run.objective
        slopes = [p.grad for p in student.parameters() if p.grad is not None]
        assert all(slope.isfinite().all() for slope in slopes), run.objective
        assert any(slope.abs().max() > 0 for slope in slopes), run.objective
        assert all(p.grad is None for p in teacher.parameters()), run.objective
