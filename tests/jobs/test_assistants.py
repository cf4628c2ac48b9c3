"""A chain of two teacher assistants, trained step by step: what teaches what, records, disk."""

import json
import shutil

import pytest
from studies import json_of, tiny_study, write_study

from kd.cli.main import main
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.outputs import run_outputs
from kd.jobs.retrain import run_retrain
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.collect import collect
from kd.monitor.copies import settle_times
from kd.monitor.free import idle_outputs
from kd.monitor.plan import plan
from kd.monitor.plan_text import plan_text
from kd.monitor.status import run_status, status_text, study_status
from kd.monitor.students import remove_students
from kd.monitor.watch.look import looker
from kd.results.report.model_card import _teacher
from kd.runtime.errors import UserError
from kd.runtime.hashes import model_fingerprint
from kd.runtime.seals import check_seal, emptied, read_record
from kd.runtime.state import write_state
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.teacher_outputs import need_of

TEACHERS = {
    "deep": {"model": "scratch", "shape": "3L-32-2h-64", "epochs": 1, "learning_rate": 1e-3},
    "middle": {"run": {"student": "2L-32-2h-64", "teacher": "deep", "init": "teacher-uniform"}},
    "lower": {"run": {"student": "2L-16-2h-32", "teacher": "middle", "init": "random"}},
}
CELL = {"student": "1L-16-2h-32", "knowledge": "logits+hidden", "task": "toy-single", "epochs": 1}

pytestmark = pytest.mark.slow


def study_of(folder, name="study.yaml", **changes):
    base = {**CELL, "learning_rate": 1e-3, "init": "teacher-uniform"}
    study = {"teachers": TEACHERS, "base": base, "axes": {"teacher": ["lower"]}}
    return write_study(folder, tiny_study(**{**study, **changes}), name)


def work(grid, layout):
    """All jobs of a study, in the order in which it names its runs and teachers."""
    runs = grid.trained.values()
    prepare_task(grid, layout, "toy-single")
    for tokens in {run.tokens_id for run in runs}:
        run_tokenise(grid, layout, "toy-single", tokens)
    for run in runs:
        if not (layout.teacher(run.teacher) / "metrics.json").is_file():
            run_teacher(grid, layout, run.teacher.id, threads=1)
        run_outputs(grid, layout, run.teacher.id, run.tokens_id, need_of(run), threads=1)
        run_distil(grid, layout, run.id, threads=1)
        run_evaluate(grid, layout, run.id, threads=1)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(grid, layout, its plan before, its plan after) of a study that keeps no students."""
    folder = tmp_path_factory.mktemp("assistants")
    grid = load_grid(study_of(folder, keep={"students": "none"}))
    layout = Layout(folder / "results")
    before = plan(grid, layout)
    work(grid, layout)
    return grid, layout, before, plan(grid, layout)


def record(layout, run):
    return read_record(layout.run(run) / "metrics.json")


def test_each_learns_from_the_student_before_it(done):
    grid, layout, *_ = done
    middle, lower, cell = grid.trained.values()
    for run, student in ((lower, middle), (cell, lower)):
        made, teacher = record(layout, student), layout.teacher(run.teacher)
        assert record(layout, run)["teacher_fingerprint"] == made["model_fingerprint"]
        assert record(layout, run)["teacher_score"] == made["score"]
        assert model_fingerprint(check_seal(teacher / "model")) == made["model_fingerprint"]
        linked = layout.run(student) / "model/model.safetensors"
        assert linked.samefile(teacher / "model/model.safetensors"), "it takes no disk of its own"
    origins = json.loads((layout.run(cell) / "init.json").read_text())
    assert any("layer.1" in str(origin) for origin in origins.values()), "the assistant's layers"


def test_a_run_says_what_its_chain_was_and_took(done):
    grid, layout, *_ = done
    middle, lower, cell = (record(layout, run) for run in grid.trained.values())
    assert "teacher_run" not in middle and lower["teacher_run"] == middle["run"]
    assert cell["teacher_chain"] == "3L-32-2h-64 > 2L-32-2h-64 > 2L-16-2h-32"
    seconds = middle["train_seconds"] + lower["train_seconds"]
    assert cell["teacher_chain_seconds"] == pytest.approx(seconds)
    assert cell["teacher_parameters"] == lower["student_parameters"]


def test_the_card_of_a_student_tells_the_chain_of_its_teacher(done):
    grid, layout, *_ = done
    *_, cell = grid.trained.values()
    text = _teacher({"record": record(layout, cell), "spec": cell.spec})
    chain = "3L-32-2h-64 > 2L-32-2h-64 > 2L-16-2h-32"
    first = "an encoder trained from random weights"
    assert text.startswith(f"a teacher assistant ({chain}; the first teacher is {first})")


def test_the_plan_has_the_assistants_and_their_jobs(done):
    *_, before, after = done
    assert (before["runs"], before["jobs"]["distil"], before["jobs"]["teacher"]) == (1, 3, 3)
    assert [row["chain"] + [row["teacher"]] for row in before["assistants"]] == [
        ["deep", "middle"],
        ["deep", "middle", "lower"],
    ]
    assert "deep > middle > lower on toy-single: 2L-16-2h-32, the student of" in plan_text(before)
    # The chain of jobs has both assistants, and the cell alone.
    chain = dict(before["time"]["chain"])
    assert chain["teacher"] > 2 * (chain["distil"] + chain["evaluate"])
    assert not any(after["jobs"][rule] for rule in ("teacher", "outputs", "distil", "evaluate"))
    assert after["done"] == 1 and all(row["done"] for row in after["assistants"])


def test_assistants_stay_where_no_students_are_kept(done):
    grid, layout, before, _ = done
    middle, lower, cell = grid.trained.values()
    assert emptied(layout.run(cell) / "model")
    assert remove_students(grid, layout, []) == []
    for run in (middle, lower):
        check_seal(layout.run(run) / "model")
    assert before["students"]["bytes"] > 0, "the plan counts what stays"


def test_a_student_that_learned_from_an_assistant_is_trained_again_to_the_same_bits(done):
    grid, layout, *_ = done
    *_, cell = grid.trained.values()
    assert run_retrain(grid, layout, cell.id)
    weights = model_fingerprint(check_seal(layout.run(cell) / "model"))
    assert weights == record(layout, cell)["model_fingerprint"]
    assert remove_students(grid, layout, []) == [cell.id]


def test_the_studys_record_has_cells_alone_and_a_grid_finds_the_assistant_done(done, tmp_path):
    grid, layout, *_ = done
    assert collect(grid, layout, tmp_path / "runs.csv")["done"] == 1
    axes = {"student": ["1L-16-2h-32", "2L-16-2h-32"], "teacher": ["middle"]}
    base = {"task": "toy-single", "knowledge": "logits+hidden", "epochs": 1, "learning_rate": 1e-3}
    made = load_grid(study_of(tmp_path, base=base, axes=axes))
    lower = list(grid.trained)[1]
    assert lower in made.runs and run_status(made.runs[lower], layout)[0] == "done"


def test_status_and_watch_know_the_assistants(done):
    grid, layout, *_ = done
    status = study_status(grid, layout)
    assert (status["runs"], status["done"]) == (1, 1)
    assert [(row["teacher"], row["state"]) for row in status["assistants"]] == [
        ("middle", "done"),
        ("lower", "done"),
    ]
    assert "teacher lower, the student of" in status_text(status)
    seen = looker(grid, layout)()
    assert seen["jobs"]["distil"] == {"done": 3, "running": 0, "total": 3}
    assert seen["left"]["device_seconds"] == 0 if seen["left"] else True
    assert not idle_outputs([grid], layout).keys() - set(layout.arrays())


def test_an_assistant_that_fails_or_knows_nothing_is_told(done, tmp_path):
    grid, layout, *_ = done
    copy = Layout(shutil.copytree(layout.results, tmp_path / "results"))
    _, lower, cell = grid.trained.values()
    path = copy.teacher(cell.teacher) / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "score": 0.1, "seal": None}))
    for run in (lower, cell):
        shutil.rmtree(copy.run(run))
    write_state(copy.run(lower), state="failed", error="no memory")
    assert run_status(cell, copy) == ("failed", f"run {lower.id}: no memory")
    failures = study_status(grid, copy)["failures"]
    assert [(row["run"], "no memory" in row["error"]) for row in failures] == [
        (lower.id, True),
        (cell.id, True),
    ]
    with pytest.raises(UserError, match="no such file; the next start makes it"):
        run_teacher(grid, copy, cell.teacher.id, threads=1)


def test_an_assistant_whose_weights_another_study_removed_is_refused_before_anything_runs(
    done, tmp_path, capsys
):
    grid, layout, *_ = done
    copy = Layout(shutil.copytree(layout.results, tmp_path / "results"))
    _, lower, cell = grid.trained.values()
    axes = {"student": [lower.labels["student"]], "teacher": ["middle"]}
    base = {**CELL, "learning_rate": 1e-3, "init": "random"}
    changes = {"study": "greedy", "keep": {"students": "none"}}
    other = load_grid(study_of(tmp_path, base=base, axes=axes, **changes))
    plan_of = ["plan", str(grid.study.path), "--results", str(copy.results)]
    assert remove_students(other, copy, []) == [lower.id]
    assert main(plan_of) == 0, "the teacher has links of its own"
    shutil.rmtree(copy.teacher(cell.teacher))
    capsys.readouterr()
    assert main(plan_of) == 2
    told = (
        f"teachers.lower: {copy.run(lower) / 'model'}: its weights were removed, because study "
        f"greedy has `keep: {{students: none}}`; `kd retrain {other.study.path} {lower.id}` trains"
    )
    assert told in capsys.readouterr().err
    with pytest.raises(UserError, match="its weights were removed, because study greedy"):
        run_teacher(grid, copy, cell.teacher.id, threads=1)
    assert run_retrain(other, copy, lower.id)
    run_teacher(grid, copy, cell.teacher.id, threads=1)
    assert main(plan_of) == 0
    fingerprint = read_record(copy.teacher(cell.teacher) / "metrics.json")["fingerprint"]
    assert fingerprint == record(layout, lower)["model_fingerprint"]


def test_copied_results_with_assistants_are_finished(done):
    grid, layout, *_ = done
    settle_times(grid, layout)
    assert settle_times(grid, layout) == []


def test_the_list_of_runs_names_assistants(done, capsys):
    grid, *_ = done
    rows = json_of(capsys, "runs", grid.study.path)
    assert [row.get("assistant") for row in rows] == [None, "middle", "lower"]
    assert [row["id"] for row in rows[1:]] == [*grid.assistants]
