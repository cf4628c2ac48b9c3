"""The plugin of docs/plugins.md, copied from the page and run from the plan to the report."""

import csv
import hashlib
import io
import json
import re
from contextlib import chdir, redirect_stderr

import numpy as np
import pytest
import torch
from helpers import tiny_model
from snippets import snippet
from studies import json_of, tiny_study, write_study

from kd.axes.matchings import MATCHINGS
from kd.axes.plugins import activate
from kd.axes.shapes import Shape
from kd.axes.tasks import TASKS
from kd.cli.main import main
from kd.encoders.initialise import initialise
from kd.losses.table import loss_of
from kd.losses.vectors import token_mse
from kd.monitor.status import study_status
from kd.runtime.errors import UserError
from kd.study.grid import load_grid
from kd.study.paths import Layout
from kd.study.plugins import load_plugins
from kd.training.evaluation import scores
from kd.training.predictions import Predictions

DRAWN = """
from kd.axes.rows import PluginFigure

def bars(runs):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().bar(runs["mapping"], runs["score"])
    return figure

FIGURES = {"bars": PluginFigure(bars, "Scores by mapping.")}
"""


@pytest.fixture(autouse=True, scope="module")
def _package_alone():
    yield
    activate(())


def block(kind, number=0):
    """A block of code of the page, as a reader copies it."""
    return snippet("docs/plugins.md", kind, number)


def kd(*words):
    assert main([*map(str, words)]) == 0


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study of the page, with a figure more, and its folder, where all commands have run."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "my_losses.py").write_text(block("python") + DRAWN)
    (folder / "study.yaml").write_text(block("yaml"))
    with chdir(folder):
        grid, study = load_grid("study.yaml"), "study.yaml"
        some = next(iter(grid.runs.values()))
        kd("data", study, "--task", some.task)
        kd("tokenise", study, "--task", some.task, "--tokens", some.tokens_id)
        kd("teacher", study, "--teacher", some.teacher.id)
        for run in grid.runs:
            kd("distil", study, "--run", run)
            kd("evaluate", study, "--run", run)
        for step in ("collect", "tables", "figures", "report", "guideline"):
            kd(step, study)
    return folder, grid, Layout(folder / "results")


def test_the_example_has_a_loss_and_a_mapping_of_ten_lines_at_most():
    functions = re.findall(r"^def .*?(?=\n\n\n|\Z)", block("python"), flags=re.M | re.DOTALL)
    assert [text.split("(")[0] for text in functions] == ["def huber", "def even"]
    assert all(len(text.splitlines()) <= 10 for text in functions)


def test_a_run_records_its_plugin_and_keeps_its_source(done):
    folder, grid, layout = done
    source = (folder / "my_losses.py").read_bytes()
    sha256 = hashlib.sha256(source).hexdigest()
    using = [run for run in grid.runs.values() if run.plugins]
    assert len(grid.runs) == 3 and len(using) == 2
    for run in grid.runs.values():
        place = layout.run(run)
        spec, record = (json.loads((place / n).read_text()) for n in ("spec.json", "metrics.json"))
        assert spec.get("plugins", []) == [sha256] * bool(run.plugins)
        label = f"my_losses.py {sha256[:12]}"
        assert record.get("plugins", "") == label * bool(run.plugins)
        kept = list((place / "plugins").glob("*")) if run.plugins else []
        assert [path.read_bytes() for path in kept] == [source] * len(kept)
        assert bool(kept) == bool(run.plugins)


def test_its_rows_are_in_the_report_like_any_other(done):
    _, _, layout = done
    rows = list(csv.DictReader((layout.study("huber") / "runs.csv").open()))
    assert {row["matching"] for row in rows} == {"kl", "huber"}
    assert {row["mapping"] for row in rows} == {"-", "uniform", "even"}
    report = (layout.study("huber") / "report.html").read_text()
    assert "<td>even</td>" in report or ">even<" in report
    assert "my_losses.py" in report
    figures = layout.study("huber") / "figures"
    assert (figures / "bars.png").is_file()
    assert "Scores by mapping." in (figures / "captions.md").read_text()


def test_the_loss_of_the_page_keeps_the_promises_of_all_losses(done):
    folder, _, _ = done
    load_grid(folder / "study.yaml")
    loss = loss_of(MATCHINGS["tokens"]["huber"])
    torch.manual_seed(0)
    s, t = torch.randn(2, 5, 4, requires_grad=True), torch.randn(2, 5, 4)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    other = torch.where(mask[..., None], s, 9.0)
    assert loss(s, s, mask) == 0
    assert torch.equal(loss(other, t, mask), loss(s, t, mask))
    assert loss(s, t, mask) < token_mse(s, t, mask)
    loss(s, t, mask).backward()
    assert s.grad[mask].abs().min() > 0 and s.grad[~mask].abs().max() == 0


def test_a_plugin_that_changes_while_the_study_runs(done, capsys):
    """A job that was planned with the old file says what to do; nothing of it is taken for new."""
    folder, grid, _ = done
    old = next(run.id for run in grid.runs.values() if run.plugins)
    text = (folder / "my_losses.py").read_text()
    try:
        (folder / "my_losses.py").write_text(text + "# changed\n")
        with chdir(folder):
            assert main(["distil", "study.yaml", "--run", old]) == 2
            assert "if my_losses.py changed while snakemake ran" in capsys.readouterr().err
            assert json_of(capsys, "plan", "study.yaml")["done"] == 1
    finally:
        (folder / "my_losses.py").write_text(text)
    with chdir(folder):
        assert json_of(capsys, "plan", "study.yaml")["done"] == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("    return student[0, 0, 0] @ 1", r"my_losses\.py: line 4 in huber: TypeError: "),
        ("    return student - teacher", r"my_losses\.py: line 3: huber returned \("),
        ("    return teacher.mean()", r"line 3: huber returned a value without a gradient"),
    ],
)
def test_an_error_in_a_job_names_file_and_line(done, wrong, message):
    """In the log, in the last line, which `kd status` shows."""
    folder, grid, layout = done
    place = folder / "wrong"
    place.mkdir(exist_ok=True)
    (place / "my_losses.py").write_text(
        "from kd.axes.rows import Matching\n\ndef huber(student, teacher, mask):\n"
        f"{wrong}\n\nMATCHINGS = {{'tokens': {{'huber': Matching(huber, 'x')}}}}\n"
    )
    study = tiny_study(
        study="wrong",
        plugins=["my_losses.py"],
        teachers=grid.study.teachers,
        axes={"knowledge": ["hidden:huber"]},
    )
    study["base"]["student"] = "2L-32-2h-32"
    path = write_study(place, study)
    (run,) = load_grid(path).runs
    with redirect_stderr(io.StringIO()) as log:
        assert main(["distil", str(path), "--run", run, "--results", str(layout.results)]) == 2
    assert re.search(message, log.getvalue().strip().splitlines()[-1])
    (failed,) = study_status(load_grid(path), layout)["failures"]
    assert failed["run"] == run and re.search(message, failed["error"])


def plugin(folder, text):
    (folder / "mine.py").write_text(text)
    plugins = load_plugins(["mine.py"], folder / "study.yaml")
    activate(plugins)
    return plugins


def test_a_metric_of_a_plugin_is_scored_and_resampled(tmp_path):
    plugin(
        tmp_path,
        "from kd.axes.rows import *\n"
        "def right(p, y):\n    return float((p == y).mean())\n"
        "of = (kinds.CLASSES,)\n"
        "METRICS = {'right': Metric(of, SHARE, 'accuracy once more', function=right),\n"
        "           'far': Metric(of, '', 'sum', scored=False, function=lambda p, y: 7)}\n",
    )
    from dataclasses import replace

    task = replace(TASKS["toy-single"], metrics=("right",), others=("far",), name="t")
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 2)).astype(np.float32), rng.integers(0, 2, 200)
    answers = {"dev": Predictions(np.arange(200), labels, logits)}
    found = scores(task, answers)
    usual = scores(replace(task, metrics=("accuracy",), others=()), answers)
    assert found["score"] == found["right"] == usual["accuracy"] and found["far"] == 7
    assert found["majority_score"] == usual["majority_score"]
    assert found["score_se"] == pytest.approx(usual["score_se"], rel=0.1)
    from kd.results.statistics.examples import Answers, resampled_scores

    split = [Answers(labels, {"run": logits.argmax(-1)}, 2)]
    both = [resampled_scores(split, [name])["run"] for name in ("right", "accuracy")]
    np.testing.assert_allclose(*both)


def test_an_initialisation_of_a_plugin_may_set_weights_itself(tmp_path):
    plugin(
        tmp_path,
        "from kd.axes.rows import Initialisation\n"
        "def words(student, teacher):\n"
        "    name = 'bert.embeddings.word_embeddings.weight'\n"
        "    student.state_dict()[name].fill_(1)\n"
        "    return {name: 'ones'}\n"
        "INITIALISATIONS = {'ones': Initialisation(None, 'ones', 'mine', needs_teacher=False,\n"
        "    weights=words, obstacle=lambda s, t: 'too wide' if s.hidden > 32 else '')}\n",
    )
    student = tiny_model(shape=Shape(1, 24, 3, 40))
    origins = initialise(student, "ones", None, None)
    name = "bert.embeddings.word_embeddings.weight"
    assert origins[name] == "ones" and set(origins.values()) == {"ones", "random"}
    assert (student.state_dict()[name] == 1).all()
    axes = {"init": ["random", "ones"], "student": ["1L-32-2h-64", "1L-64-2h-64"]}
    grid = load_grid(write_study(tmp_path, tiny_study(plugins=["mine.py"], axes=axes)))
    assert [reason for _, reason in grid.pruned] == ["init ones: too wide"]
    assert sum("plugins" in run.spec for run in grid.runs.values()) == 1


def test_a_knowledge_type_of_the_page_reads_its_vector(tmp_path):
    text = "from kd.axes.rows import Knowledge, forms\n" + block("python", 1)
    ((row,),) = [one.rows for one in plugin(tmp_path, text)]
    hidden = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]]])
    found = row.value.read([hidden], torch.tensor([[True, True, False]]))
    assert found.tolist() == [[3.0, -5.0]]


def test_a_damaged_copy_is_refused(done, tmp_path):
    from kd.study.plugins import copies, keep_copies

    _, grid, _ = done
    (one,) = grid.study.plugins
    keep_copies([one], tmp_path)
    assert copies(tmp_path, [one.sha256])[0].rows == one.rows
    (tmp_path / "plugins" / one.copy_name).write_text("x = 1")
    with pytest.raises(UserError, match="has no source with the SHA-256"):
        copies(tmp_path, [one.sha256])


def test_a_metric_that_is_not_defined_counts_as_zero(tmp_path):
    """As a correlation with a constant answer, which every regression is compared with."""
    plugin(
        tmp_path,
        "from kd.axes.rows import *\n"
        "def tau(p, y):\n    return float('nan') if len(set(p)) == 1 else 0.5\n"
        "def far(p, y):\n    return float('inf')\n"
        "of = (kinds.SCORES,)\n"
        "METRICS = {'tau': Metric(of, CORRELATION, 'rank', function=tau),\n"
        "           'infinite': Metric(of, CORRELATION, 'no number', function=far)}\n",
    )
    from dataclasses import replace

    task = replace(TASKS["stsb"], metrics=("tau",), name="t")
    split = Predictions(np.arange(4), np.arange(4.0), np.arange(4, dtype=np.float32)[:, None])
    found = scores(task, {"dev": split})
    assert found["score"] == found["tau"] == 0.5 and found["majority_score"] == 0
    with pytest.raises(UserError, match="metric infinite: its function gave inf"):
        scores(replace(task, metrics=("infinite",)), {"dev": split})
