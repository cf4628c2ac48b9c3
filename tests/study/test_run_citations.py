"""What a run cites is what it uses on each of its axes, and nothing else."""

import subprocess
import sys

import pytest
from studies import study_dict, tiny_study, write_study

from kd.study.cited import citations_of, citations_of_row
from kd.study.grid import load_grid

RTE = {"barhaim2006second", "bentivogli2009fifth", "dagan2006pascal", "giampiccolo2007third"}
# Logits, a BERT as teacher, whose first layers are copied, and GLUE's RTE.
PLAIN = {"hinton2015distilling", "sun2019patient", "devlin2019bert", "wang2018glue", *RTE}
TURC, TINYBERT, MINILM = "turc2019well", "jiao2020tinybert", "wang2020minilm"


def cited(folder, **base):
    """Keys of the one run of a study with these keys in its base."""
    study = study_dict(axes={"seed": [1]})
    study["base"] = {
        **{"student": "6L-768", "task": "rte", "init": "teacher-first", "knowledge": "logits"},
        **base,
    }
    (run,) = load_grid(write_study(folder, study)).runs.values()
    works = citations_of(run)
    assert len(works) == len(set(works))
    return {work.key for work in works}


@pytest.mark.parametrize(
    ("base", "more"),
    [
        ({}, set()),
        ({"knowledge": "logits+hidden:cosine@4-2"}, {TINYBERT, "sanh2019distilbert"}),
        ({"knowledge": "logits+hidden:mse@emd"}, {TINYBERT, "li2020bert"}),
        ({"knowledge": "logits+hidden:mse@first-2"}, {TINYBERT, "lu2022knowledge"}),
        ({"knowledge": "logits*0..1"}, {"yang2020textbrewer"}),
        ({"knowledge": "logits*1%0-50"}, {TINYBERT}),
        (
            {"knowledge": "logits+hidden:mse@4-2", "weights": "balanced"},
            {TINYBERT, "muralidharan2024compact"},
        ),
        (
            {
                "knowledge": "logits+hidden@first",
                "student": "6L-384",
                "projection": "orthogonal",
                "init": "teacher-first+truncate",
            },
            {TINYBERT, "miles2024vkd", "xu2024initializing"},
        ),
        ({"weights": "balanced"}, set()),  # without effect on logits alone
        ({"temperature_schedule": "flsw"}, {"wen2019preparing"}),
        ({"probability_shift": True}, {"wen2019preparing"}),
        (
            {"errata": "no-tau-squared"},
            {"yang2020textbrewer", TINYBERT, "park2021distilling", "matsubara2021torchdistill"},
        ),
        ({"errata": "padding"}, set()),  # without effect on logits
        ({"init": "teacher-first+truncate", "student": "6L-384"}, {"xu2024initializing"}),
        ({"preset": "mgskd", "knowledge": "logits"}, {"liu2022multi"}),
    ],
)
def test_each_axis_brings_its_works(tmp_path, base, more):
    assert cited(tmp_path, **base) == PLAIN | more


def test_how_a_student_starts_and_what_its_shape_is_called(tmp_path):
    rest = PLAIN - {"sun2019patient"}
    assert cited(tmp_path, init="teacher:1-1,2-2,3-3,4-4,5-5,6-6") == rest | {"wang2023how"}
    assert cited(tmp_path, init="random", student="2L-128-2h-512") == rest | {TURC}
    # 6L-384-12h-1536 is a shape of MiniLM and of XtremeDistilTransformers: of neither.
    assert MINILM not in cited(tmp_path, init="random", student="6L-384-12h-1536")
    donor = {"init": "pretrained:nreimers/MiniLM-L6-H384-uncased", "student": "6L-384-12h-1536"}
    assert cited(tmp_path, **donor) == rest | {MINILM, TURC}


def test_an_assistant_brings_its_works_and_those_of_its_run(tmp_path):
    chain = {"run": {"student": "12L-384", "teacher": "bert-base", "knowledge": "logits+hidden"}}
    study = study_dict(axes={"teacher": ["bert-base", "assistant"]})
    study["teachers"] |= {"assistant": chain}
    study["base"] = {"student": "6L-384", "task": "rte", "knowledge": "logits"}
    plain, taught = load_grid(write_study(tmp_path, study)).runs.values()
    more = {work.key for work in citations_of(taught)} - {w.key for w in citations_of(plain)}
    assert more == {"mirzadeh2020improved", TINYBERT}


def test_a_generated_task_and_an_encoder_of_random_weights(tmp_path):
    study = tiny_study(axes={"seed": [1]})
    study["base"]["knowledge"] = "none"
    (run,) = load_grid(write_study(tmp_path, study)).runs.values()
    assert [work.key for work in citations_of(run)] == [TURC, "devlin2019bert"]


def test_a_row_of_a_record_cites_what_its_run_does_but_for_the_encoder(tmp_path):
    study = study_dict(axes={"seed": [1]})
    (run,) = load_grid(write_study(tmp_path, study)).runs.values()
    row = {**run.labels, "objective": run.objective}
    lacking = [work.key for work in citations_of(run) if work not in citations_of_row(row)]
    assert lacking == ["devlin2019bert"]
    old = {name: row[name] for name in ("task", "student", "init", "objective", "mapping")}
    assert citations_of_row(old) == citations_of_row(row)


def test_it_needs_no_torch():
    code = "import sys, kd.study.cited; print({'torch', 'pandas'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_a_run_of_several_cells_cites_what_each_was_taken_from(tmp_path):
    study = study_dict(axes={"mapping": ["last-only", "last-1"], "seed": [1]})
    (run,) = load_grid(write_study(tmp_path, study)).runs.values()
    assert run.labels["mapping"] == "last-only = last-1"
    assert {MINILM, "lu2022knowledge"} <= {work.key for work in citations_of(run)}
