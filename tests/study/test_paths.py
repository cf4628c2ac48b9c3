"""Where files lie. Snakemake takes a run whose paths have changed for one that was never made."""

from studies import tiny_study, write_study

from kd.study.grid import load_grid
from kd.study.paths import (
    HISTORY,
    METRICS,
    MODEL,
    SPEC,
    TRAINING,
    Layout,
    benchmark_file,
    log_file,
    need_file,
)

LAYOUT = Layout("results")
RUN, TEACHER = LAYOUT.run_folder("{run}"), LAYOUT.teacher_folder("{teacher}", "{task}")


def test_patterns_of_the_rules_are_those_of_finished_runs():
    outputs = LAYOUT.outputs_folder("{teacher}", "{task}", "{tokens}")
    assert [str(path) for path in (TEACHER / MODEL, TEACHER / METRICS)] == [
        "results/teachers/{teacher}/{task}/model",
        "results/teachers/{teacher}/{task}/metrics.json",
    ]
    assert str(need_file(outputs, "{need}")) == (
        "results/teachers/{teacher}/{task}/outputs/{tokens}/{need}.json"
    )
    assert [str(RUN / name) for name in (MODEL, TRAINING, HISTORY, SPEC, METRICS)] == [
        "results/runs/{run}/model",
        "results/runs/{run}/training.json",
        "results/runs/{run}/history.csv",
        "results/runs/{run}/spec.json",
        "results/runs/{run}/metrics.json",
    ]
    assert str(LAYOUT.text("{data}", "{task}")) == "results/data/{data}/{task}/text"
    assert str(LAYOUT.tokens("{data}", "{task}", "{t}")) == "results/data/{data}/{task}/{t}"


def test_logs_and_benchmarks_lie_where_status_and_copies_look():
    assert str(log_file(RUN, "distil")) == "results/runs/{run}/log/distil.log"
    assert str(benchmark_file(TEACHER, "teacher")) == (
        "results/teachers/{teacher}/{task}/log/teacher.benchmark.tsv"
    )


def test_a_run_lies_where_the_pattern_of_its_rule_says(tmp_path):
    study = write_study(tmp_path, tiny_study(axes={"knowledge": ["logits+hidden"], "seed": [1]}))
    (run,) = load_grid(study).runs.values()
    place = {"task": run.task, "teacher": run.teacher.id, "run": run.id}
    assert str(RUN).format(**place) == str(LAYOUT.run(run))
    assert str(TEACHER).format(**place) == str(LAYOUT.teacher(run.teacher))
    outputs = LAYOUT.outputs_folder("{teacher}", "{task}", run.tokens_id)
    assert LAYOUT.need(run).parent == LAYOUT.outputs(run.teacher, run.tokens_id)
    assert str(outputs).format(**place) == str(LAYOUT.outputs(run.teacher, run.tokens_id))
