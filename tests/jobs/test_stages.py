"""Stages before the task: from the corpus to a run that starts from them, and their identity."""

import json
import math
import shutil

import pytest
import torch
from helpers import EVERY_ARCH, save_encoder, tiny_inputs, tiny_model
from safetensors.torch import load_file
from studies import SYNTHETIC, study_dict, write_study
from transformers import AutoModelForMaskedLM

import kd.jobs.stage
from kd.axes.presets import stage_presets
from kd.cli.main import main
from kd.data.generated import generate
from kd.data.masking import PREDICTED
from kd.encoders.masked_lm import build_masked_lm, predict_masked_alone
from kd.jobs.corpus import run_corpus
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.stage import run_stage
from kd.jobs.tokenise import run_tokenise
from kd.losses.moving import Moment
from kd.monitor.free import idle_corpora
from kd.monitor.plan import plan
from kd.monitor.status import study_status
from kd.monitor.watch.look import looker
from kd.runtime.device import model_inputs
from kd.runtime.errors import Transient, UserError
from kd.runtime.signals import Stopped
from kd.study.grid import load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import Layout
from kd.training.checkpoint import Checkpoint

STAGE = {
    "corpus": {"files": "text/*.txt", "held_out": 0.1},
    "teacher": "deep",
    "knowledge": "hidden+attention",
    "steps": 6,
    "batch_size": 4,
    "max_length": 16,
}
WORDS = {**STAGE, "knowledge": "mlm-logits+hidden:cosine@last-only", "mlm": 0.5}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A tiny encoder and a text."""
    folder = tmp_path_factory.mktemp("stages")
    save_encoder(folder / "deep", "bert")
    (folder / "text").mkdir()
    (folder / "blank.txt").write_text("\n \n")
    rows = generate("toy-single", "train", 300)
    (folder / "text/a.txt").write_text("\n".join(row["sentence1"] for row in rows))
    return folder


def study_of(folder, stages=None, name="study.yaml", **changes):
    study = {
        "data": SYNTHETIC,
        "teachers": {"deep": {"model": "./deep"}},
        "stages": {"general": STAGE} if stages is None else stages,
        "base": {
            "student": "2L-16-2h-32",
            "task": "toy-single",
            "knowledge": "none",
            "epochs": 1,
            "learning_rate": 1e-3,
        },
        "axes": {"init": ["random", "stage:general"]},
    }
    return write_study(folder, study_dict(**{**study, **changes}), name)


def only_stage(path):
    grid = load_grid(path)
    (stage,) = grid.stages.values()
    return grid, stage


def staged(home, results, stages=None):
    """A stage that is done."""
    grid, stage = only_stage(study_of(home, stages))
    layout = Layout(results)
    run_corpus(grid, layout, stage.corpus_id, stage.tokens_id)
    run_stage(grid, layout, stage.id, threads=1)
    return grid, layout, stage


def test_a_stage_does_not_wait_for_what_else_a_run_needs(home, tmp_path):
    """It is in the longest chain only if it takes longer than the teacher's outputs."""
    for steps, inside in ((1, False), (10**6, True)):
        study = study_of(
            home, {"general": STAGE | {"steps": steps}}, axes={"init": ["stage:general"]},
            base={"student": "2L-16-2h-32", "task": "toy-single", "knowledge": "logits"},
        )  # fmt: skip
        planned = plan(load_grid(study), Layout(tmp_path), "cpu")
        names = [name for name, _ in planned["time"]["chain"]]
        assert ("stage" in names) == inside and ("outputs" in names) != inside


@pytest.fixture(scope="module")
def done(home, tmp_path_factory):
    """The stage of general, done without an interruption."""
    return staged(home, tmp_path_factory.mktemp("done"))


def test_a_stage_with_calibrated_weights_is_trained(home, tmp_path):
    _, layout, stage = staged(home, tmp_path, {"general": {**STAGE, "weights": "calibrated"}})
    found = record(layout, stage)
    parts = set(found["losses"]) - {"loss"}
    assert set(found["held_out_before"]) == parts != set(), (
        "before the first step weights are not known"
    )
    assert set(found["held_out_losses"]) == {"loss", *parts}


def weights(layout, stage):
    return load_file(layout.stage(stage) / "model/model.safetensors")


def record(layout, stage):
    return json.loads((layout.stage(stage) / "training.json").read_text())


# --- a stage and a run that starts from it ------------------------------------------------------


def test_a_stage_learns_and_says_how(done):
    _, layout, stage = done
    found = record(layout, stage)
    assert (found["steps"], found["tokens"]) == (6, 6 * 4 * 16)
    assert found["held_out_losses"]["loss"] < found["held_out_before"]["loss"]
    assert set(found["losses"]) == {"loss", "hidden:mse@2-1,3-2", "attention:kl@2-1,3-2"}
    assert found["tokens_per_second"] > 0 and 0 < found["passes"] < 1
    model = AutoModelForMaskedLM.from_pretrained(layout.stage(stage) / "model")
    assert model.config.num_hidden_layers == 2
    assert not any("cls" in name for name in weights(layout, stage)), "an untrained head"


def test_a_stage_that_is_killed_comes_to_the_same_bits(home, done, tmp_path, monkeypatch):
    class Dying(Checkpoint):
        def due(self):
            return True

        def save(self, tensors, facts):
            super().save(tensors, facts)
            if facts["step"] == 3:
                raise Stopped("dead")
            return True

    grid, stage = only_stage(study_of(home))
    layout = Layout(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(kd.jobs.stage, "Checkpoint", Dying)
        with pytest.raises(Stopped):
            run_stage(grid, layout, stage.id, threads=1)  # packs the corpus itself
    assert study_status(grid, layout)["runs"] == 2
    run_stage(grid, layout, stage.id, threads=1)
    whole = weights(done[1], stage)
    again = weights(layout, stage)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    history = (done[1].stage(stage) / "history.csv").read_text()
    assert (layout.stage(stage) / "history.csv").read_text() == history
    assert history.splitlines()[1].startswith("0,"), "held-out losses before the first step"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_the_teacher_computes_in_the_precision_of_its_stage(
    home, done, tmp_path, monkeypatch, precision, dtype
):
    seen = set()

    def one_step(student, objective, sequences, settings, job, features, prepare):
        rows = torch.tensor([0, 1])
        taught = features(rows, model_inputs(sequences.batch(rows)), Moment(0, 10, 0, 1))
        # A query is the output of a linear layer, so in the precision of its product.
        seen.update(value.dtype for (name, _), value in taught.items() if name == "query")
        raise KeyboardInterrupt

    grid, stage = only_stage(study_of(home, {"general": {**STAGE, "precision": precision}}))
    layout = Layout(tmp_path)
    run_corpus(grid, layout, stage.corpus_id, stage.tokens_id)
    monkeypatch.setattr("kd.jobs.stage.fit", one_step)
    with pytest.raises(KeyboardInterrupt):
        run_stage(grid, layout, stage.id, threads=1)
    assert seen == {dtype}


def test_a_run_starts_from_its_stage(home, done):
    grid, layout, stage = done
    runs = {run.labels["init"]: run for run in grid.runs.values()}
    run = runs["stage:general"]
    prepare_task(grid, layout, run.task)
    run_tokenise(grid, layout, run.task, run.tokens_id)
    run_distil(grid, layout, run.id, threads=1)
    run_evaluate(grid, layout, run.id, threads=1)
    folder = layout.run(run)
    init = json.loads((folder / "init.json").read_text())
    assert set(init) == set(load_file(folder / "model/model.safetensors"))
    random = {name for name, origin in init.items() if origin == "random"}
    assert random == {n for n in init if "classifier" in n or "pooler" in n}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["stage_id"] == stage.id and metrics["stage_tokens"] == 384
    assert metrics["stage_loss"] < metrics["stage_loss_before"]
    found = plan(grid, layout)
    assert found["jobs"]["stage"] == found["jobs"]["corpus"] == 0
    assert [(s["id"], s["runs"], s["done"]) for s in found["stages"]] == [(stage.id, 1, True)]


def with_a_head(home, folder):
    """The text of `home` and its encoder, which has a masked language model head there."""
    made = AutoModelForMaskedLM.from_pretrained(home / "deep")
    made.save_pretrained(folder / "deep")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(home / "deep" / name, folder / "deep")
    shutil.copytree(home / "text", folder / "text")


def test_words_are_learned_beside_layers(home, tmp_path):
    """The masked language model loss and the teacher's logits, of masked tokens alone."""
    with_a_head(home, tmp_path)
    _, layout, stage = staged(tmp_path, tmp_path / "results", {"general": WORDS})
    found = record(layout, stage)
    assert set(found["losses"]) == {"loss", "mlm", "mlm-logits:kl", "hidden:cosine@3-2"}
    assert found["held_out_losses"]["mlm"] < found["held_out_before"]["mlm"]
    assert any("cls.predictions" in name for name in weights(layout, stage))
    assert found["weights_used"].startswith("mlm*0.5 + ")


def test_a_corpus_can_be_freed_and_is_packed_again(home, done, tmp_path, capsys):
    _, source, stage = done
    shutil.copytree(source.results, tmp_path / "results")
    layout = Layout(tmp_path / "results")
    path = study_of(home)
    tokens = layout.corpus(stage) / "tokens"
    assert list(idle_corpora([load_grid(path)], layout)) == [tokens]
    assert main(["free", str(path), "--results", str(layout.results), "--yes"]) == 0
    assert not tokens.exists() and (layout.corpus(stage) / "manifest.json").is_file()
    longer = study_of(home, {"general": {**STAGE, "steps": 1}}, "longer.yaml")
    grid, other = only_stage(longer)
    run_stage(grid, layout, other.id, threads=1)
    assert tokens.is_dir() and (layout.stage(other) / "model").is_dir()
    assert idle_corpora([load_grid(path), grid], layout), "both are done"
    shutil.rmtree(layout.stage(other))
    assert not idle_corpora([load_grid(path), grid], layout), "one is not"


@pytest.mark.parametrize("arch", [*EVERY_ARCH, "deberta", "deberta-v2", "mpnet"])
def test_the_head_is_asked_for_masked_tokens_alone(arch):
    model = build_masked_lm(tiny_model(arch).config).eval()
    inputs = tiny_inputs(model)
    chosen = inputs["attention_mask"].bool() & (torch.arange(7) % 2 == 1)
    whole = model(**inputs).logits
    predict_masked_alone(model)
    found = model(**inputs, **{PREDICTED: chosen}).logits
    torch.testing.assert_close(found, whole[chosen])
    assert model(**inputs).logits.shape == whole.shape


# --- identity -----------------------------------------------------------------------------------


def test_the_identity_is_what_the_numbers_depend_on(home, tmp_path):
    def stage_id(**changes):
        return only_stage(study_of(home, {"general": {**STAGE, **changes}}, "x.yaml"))[1].id

    plain = stage_id()
    for changes in (
        {"steps": 7},
        {"batch_size": 8},
        {"knowledge": "hidden"},
        {"mapping": "first"},
        {"mlm": 0.5},
        {"masked": 0.2},
        {"seed": 2},
        {"init": "pca-embeddings"},
        {"learning_rate": 1e-3},
        {"max_length": 32},
        {"weights": "calibrated"},
        {"projection": "shared"},
    ):
        assert stage_id(**changes) != plain, changes
    for same in ({"temperature": 3}, {"relation_heads": 2}, {"masked": 0}, {"seed": 1}):
        assert stage_id(**same) == plain, same
    by_tokens = {k: v for k, v in STAGE.items() if k != "steps"} | {"tokens": 6 * 4 * 16 - 3}
    assert only_stage(study_of(home, {"general": by_tokens}, "x.yaml"))[1].id == plain
    shutil.copytree(home / "text", tmp_path / "elsewhere")
    moved = {**STAGE, "corpus": {"files": [str(tmp_path / "elsewhere/a.txt")], "held_out": 0.1}}
    assert only_stage(study_of(home, {"general": moved}, "x.yaml"))[1].id == plain


def test_a_preset_stands_for_the_keys_of_its_stage(home):
    keys = {key: STAGE[key] for key in ("corpus", "teacher", "steps", "max_length")}
    given = {**keys, "preset": "tinybert", "batch_size": 4}
    stage = only_stage(study_of(home, {"general": given}, "x.yaml"))[1]
    spelled = {
        **keys,
        "knowledge": "embedding:mse+hidden:mse+attention-scores:mse",
        "projection": "shared",
        "masked": 0.15,
        "batch_size": 4,
        "learning_rate": 1e-4,
    }
    assert only_stage(study_of(home, {"general": spelled}, "x.yaml"))[1].id == stage.id
    assert stage.spec["masked"] == 0.15 and not stage.reads_words
    with pytest.raises(UserError, match=r"stages.general.preset: found 'ckd', allowed: distilbert"):
        load_grid(study_of(home, {"general": {**keys, "preset": "ckd"}}, "wrong.yaml"))


@pytest.mark.parametrize("name", stage_presets())
def test_the_stage_of_every_preset_can_be_planned(tmp_path, name):
    large = name == "minilmv2-large"
    study = study_dict(
        teachers={"bert": {"model": f"google-bert/bert-{'large' if large else 'base'}-uncased"}},
        stages={
            "general": {
                "preset": name,
                "corpus": {"hub": "some/text", "revision": "0" * 40},
                "teacher": "bert",
                "steps": 9,
            }
        },
        base={"student": "6L-1024" if large else "6L-768", "task": "rte", "knowledge": "none"},
        axes={"init": ["stage:general"]},
    )
    _, stage = only_stage(write_study(tmp_path, study))
    assert stage.terms and stage.values["learning_rate"] > 5e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in stage_presets() if n != "minilmv2-large"])
def test_the_stage_of_every_preset_learns(home, tmp_path, name):
    tiny = {"steps": 6, "batch_size": 4, "max_length": 16}
    tiny |= {"relation_heads": 2} if name == "minilmv2" else {}
    stage = {"preset": name, "corpus": STAGE["corpus"], "teacher": "deep", **tiny}
    base = {"student": "2L-32-2h-64", "task": "toy-single", "knowledge": "none"}
    with_a_head(home, tmp_path)
    grid, stage = only_stage(study_of(tmp_path, {"general": stage}, base=base))
    layout = Layout(tmp_path / "results")
    run_corpus(grid, layout, stage.corpus_id, stage.tokens_id)
    run_stage(grid, layout, stage.id, threads=1)
    losses = record(layout, stage)["held_out_losses"]
    assert len(losses) > len(stage.terms) and all(map(math.isfinite, losses.values()))


def test_stages_of_one_content_are_one_and_others_are_other_runs(home):
    stages = {"one": STAGE, "two": STAGE, "three": {**STAGE, "seed": 2}}
    axes = {"init": [f"stage:{name}" for name in stages], "seed": [1, 2]}
    grid = load_grid(study_of(home, stages, axes=axes))
    assert len(grid.stages) == 2 and len(grid.runs) == 4
    assert {run.labels["init"] for run in grid.runs.values()} == {
        "stage:one = stage:two",
        "stage:three",
    }


def test_one_stage_for_each_student_and_a_reason_where_it_has_no_meaning(home):
    axes = {"init": ["stage:general"], "student": ["2L-16-2h-32", "1L-16-2h-32", "2L-32-4h-64"]}
    grid = load_grid(study_of(home, axes=axes))
    assert len(grid.stages) == 2
    ((_, reason),) = grid.pruned
    assert reason.startswith("stage general: attention:kl compares head with head")


# --- mistakes -----------------------------------------------------------------------------------


def test_a_corpus_that_does_not_answer_is_asked_again(home, tmp_path, monkeypatch):
    def texts(corpus):
        raise Transient("the hub does not answer")

    monkeypatch.setattr("kd.jobs.corpus.corpus_texts", texts)
    grid, stage = only_stage(study_of(home))
    with pytest.raises(Transient, match=r"stages\.general: the hub"):
        run_corpus(grid, Layout(tmp_path), stage.corpus_id, stage.tokens_id)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"knowledge": "logits"}, "logits needs the head of a task"),
        ({"knowledge": "none"}, "there is nothing to learn"),
        ({"tokens": 5}, "found both or none of steps and tokens"),
        ({"teacher": "dep"}, r"found 'dep', allowed: deep .did you mean deep\?"),
        ({"init": "stage:general"}, "a stage does not start from a stage"),
        ({"corpus": {"files": "nothing/*.txt"}}, "no file is named like"),
        ({"corpus": {"files": "text/b.txt"}}, r"b\.txt: missing"),
        ({"corpus": {"files": "blank.txt"}}, r"line \d+: stages.general.corpus: .*found no text"),
        ({"corpus": {"files": "deep/config.json"}}, "does not tell its format"),
        ({"corpus": {"files": "text/a.txt", "column": "x"}}, "text files have no columns"),
        ({"corpus": {"files": "text/a.txt", "split": "x"}}, "for a dataset of the hub"),
        ({"corpus": {"hub": "some/text", "revision": "main"}}, "a commit of 40 hex digits"),
        ({"corpus": {}}, "found both or none of files and hub"),
        ({"mlm": 1, "masked": 0}, "its losses are of masked tokens"),
        ({"weights": "balanced"}, "allowed: fixed, calibrated"),
        ({"max_length": 512}, "max_length: found 512, allowed: at most 130"),
        ({"stepz": 3}, r"key: found 'stepz'.*did you mean steps"),
        ({"knowledge": "mlm-logits"}, "no masked language model head"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_runs(home, changes, message):
    path = study_of(home, {"general": {**STAGE, **changes}}, "wrong.yaml")
    with pytest.raises(UserError, match=message) as error:
        check_inputs(load_grid(path))
    assert "stages.general" in str(error.value) and str(path) in str(error.value)


def test_a_run_names_a_stage_that_is_there(home):
    with pytest.raises(UserError, match=r"axes\.init\[1\]: stage: found 'general', allowed: other"):
        load_grid(study_of(home, {"other": STAGE}, "wrong.yaml"))
    with pytest.raises(UserError, match="the study has no key stages"):
        load_grid(study_of(home, {}, "wrong.yaml"))
    with pytest.raises(UserError, match="mlm-logits is of masked tokens, which only a stage"):
        load_grid(study_of(home, axes={"knowledge": ["mlm-logits"]}))


@pytest.mark.parametrize(
    ("teacher", "why"),
    [
        ({"model": "./deep", "finetuned": True}, "it is fine-tuned on a task"),
        ({"model": "scratch", "shape": "3L-32-2h-64"}, "scratch has random weights"),
        ({"model": "./deep-{task}"}, "is of a task"),
    ],
)
def test_the_teacher_of_a_stage_is_pretrained(home, teacher, why):
    teachers = {"deep": {"model": "./deep"}, "other": teacher}
    stages = {"general": {**STAGE, "teacher": "other"}}
    base = {"student": "2L-16-2h-32", "task": "toy-single", "knowledge": "none", "teacher": "deep"}
    with pytest.raises(UserError, match=f"stages.general.teacher: found other.*{why}"):
        load_grid(study_of(home, stages, "wrong.yaml", teachers=teachers, base=base))


def test_the_live_view_counts_corpus_and_stage(done, tmp_path):
    grid, layout, _ = done
    jobs = looker(grid, layout)()["jobs"]
    assert jobs["corpus"] == jobs["stage"] == {"done": 1, "running": 0, "total": 1}
    before = looker(grid, Layout(tmp_path))()["jobs"]
    assert before["corpus"] == before["stage"] == {"done": 0, "running": 0, "total": 1}
