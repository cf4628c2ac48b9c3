"""The steps of the workflow in one process, for every encoder and initialisation."""

import csv
import json
import re
import shutil

import jsonschema
import pytest
import torch
import yaml
from helpers import save_encoder
from safetensors.torch import load_file, save_file
from slow import slow
from studies import SYNTHETIC, study_dict, tiny_study, write_study
from transformers import AutoConfig, AutoModelForSequenceClassification

from kd.axes.architectures import SCRATCH_ARCHS, attention_obstacle
from kd.axes.tasks import TASKS
from kd.data.tokens import load_split
from kd.encoders import build, facts
from kd.encoders.build import build_random
from kd.jobs import record as records
from kd.jobs import teacher as teacher_job
from kd.jobs.ahead import take_ahead
from kd.jobs.data import prepare_task
from kd.jobs.distil import run_distil
from kd.jobs.evaluate import run_evaluate
from kd.jobs.outputs import run_outputs
from kd.jobs.retrain import run_retrain
from kd.jobs.teacher import run_teacher
from kd.jobs.tokenise import run_tokenise
from kd.monitor.answers import write_answers
from kd.monitor.collect import collect
from kd.monitor.status import run_status, status_text, study_status
from kd.monitor.students import remove_unrecorded
from kd.results.answers import read_answers
from kd.results.columns import metrics_schema
from kd.results.record import read_runs
from kd.results.statistics.examples import resampled_scores
from kd.results.tables.write import make_tables
from kd.runtime.errors import UserError
from kd.runtime.files import write_json
from kd.runtime.hashes import model_fingerprint
from kd.runtime.progress import STATE
from kd.runtime.provenance import tokenizer_fingerprint
from kd.runtime.seals import check_seal, empty_sealed, read_record, write_record
from kd.study.grid import load_grid
from kd.study.paths import METRICS, PREDICTIONS, Layout
from kd.study.teacher_outputs import need_of
from kd.training import evaluation

RECIPE = {"epochs": 1, "learning_rate": 1e-3}
BASE = {"student": "2L-32-2h-64", "task": "toy-pair", **RECIPE}
DEEP = {"model": "scratch", "shape": "3L-32-2h-64", **RECIPE}
EVERYTHING = (
    "logits+teacher-classifier+embedding+hidden+cls+attention+attention-scores+query-relation"
    "+value-relation"
)


def run_all(tmp_path, **changes):
    """Every step of a synthetic study; its grid and layout."""
    tmp_path.mkdir(exist_ok=True)
    study = {
        "data": SYNTHETIC,
        "teachers": {"deep": {"model": "scratch", "shape": "3L-32-2h-64", **RECIPE}},
        "base": BASE,
    }
    grid = load_grid(write_study(tmp_path, study_dict(**{**study, **changes})))
    layout = Layout(tmp_path / "results")
    for task in {run.task for run in grid.runs.values()}:
        prepare_task(grid, layout, task)
    for task, name in {(run.task, run.tokens_id) for run in grid.runs.values()}:
        run_tokenise(grid, layout, task, name)
    for teacher in {run.teacher.id for run in grid.runs.values() if run.needs_teacher}:
        run_teacher(grid, layout, teacher, threads=1)
    for run in grid.runs:
        run_distil(grid, layout, run, threads=1)
        assert take_ahead(grid, layout, run, threads=1), "as `kd evaluate` does"
    return grid, layout


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    "arch",
    [SCRATCH_ARCHS[0], *slow(*SCRATCH_ARCHS[1:])],
)
def test_every_encoder_learns_every_knowledge(tmp_path, arch):
    teacher = {"model": "scratch", "arch": arch, "shape": "3L-32-2h-64", **RECIPE}
    grid, layout = run_all(
        tmp_path,
        teachers={"deep": teacher},
        axes={"knowledge": ["none", EVERYTHING], "task": ["toy-pair", "toy-similarity"]},
    )
    assert len(grid.runs) == 4
    for run in grid.runs.values():
        record = read(layout.run(run) / "metrics.json")
        assert read(layout.run(run) / "model/config.json")["model_type"] == arch
        assert -1 <= record["score"] <= 1
        with (layout.run(run) / "history.csv").open() as handle:
            header = next(csv.reader(handle))
        assert len(header) == 4 + len(run.terms)
    exported = {
        tuple(sorted(load_file(layout.run(run) / "model/model.safetensors")))
        for run in grid.runs.values()
    }
    assert len(exported) == 1, "a term leaves something in the exported model"


def test_a_run_reads_the_store_and_ends_where_it_would_without(tmp_path):
    """Every knowledge type, stored and computed; then one byte of the store is flipped."""
    study = {"base": {**BASE, "knowledge": EVERYTHING}, "axes": {"seed": [1]}}
    grid, layout = run_all(tmp_path, **study, store=False)
    (run,) = grid.runs.values()
    record, model = layout.run(run) / "training.json", layout.run(run) / "model/model.safetensors"
    computed = read(record), load_file(model)
    assert computed[0]["teacher_outputs_stored"] == 0, "nothing is to be stored"

    made = {"data": SYNTHETIC, "teachers": {"deep": DEEP}}
    grid = load_grid(write_study(tmp_path, study_dict(**made, **study)))
    assert list(grid.runs) == [run.id]
    run_outputs(grid, layout, run.teacher.id, run.tokens_id, need_of(run), threads=1)
    run_distil(grid, layout, run.id, threads=1)
    stored = read(record), load_file(model)
    assert stored[0]["teacher_outputs_computed"] == 0, "something was computed all the same"
    assert stored[0]["final_loss"] == pytest.approx(computed[0]["final_loss"], rel=1e-4)
    for name, tensor in stored[1].items():
        torch.testing.assert_close(tensor, computed[1][name], rtol=0, atol=2e-3, msg=name)

    array = layout.need(run).parent / "hidden-3.npy"
    content = bytearray(array.read_bytes())
    content[len(content) // 2] ^= 4
    array.write_bytes(content)
    with pytest.raises(UserError, match=r"hidden-3\.npy: damaged"):
        run_distil(grid, layout, run.id, threads=1)
    run_distil(grid, layout, run.id, threads=1)
    assert read(record)["model_fingerprint"] == stored[0]["model_fingerprint"], "not the same bits"
    assert read(record)["teacher_outputs_computed"] == 0


def test_a_student_that_is_not_kept_is_made_again_to_the_same_bits(tmp_path):
    base = {**BASE, "knowledge": "logits+hidden"}
    grid, layout = run_all(tmp_path, base=base, axes={"seed": [1]}, keep={"students": "none"})
    (run,) = grid.runs.values()
    folder = layout.run(run)
    model, training = folder / "model", (folder / "training.json").read_bytes()
    assert {path.name for path in model.iterdir()} == {"checksums.json", "REMOVED.txt"}
    assert run_status(run, layout)[0] == "done"
    made = {path: path.read_bytes() for path in (folder / METRICS, folder / PREDICTIONS)}
    for path in made:  # as Snakemake does, if it was killed before it noted the end of the job
        path.unlink()
    assert remove_unrecorded(grid, layout) == [], "its evaluation is still there"
    assert take_ahead(grid, layout, run.id, threads=1)
    assert {path: path.read_bytes() for path in made} == made
    assert {path.name for path in model.iterdir()} == {"checksums.json", "REMOVED.txt"}

    time = model.stat().st_mtime_ns
    for array in layout.need(run).parent.glob("*.npy"):  # as `kd free` does
        array.unlink()

    assert run_retrain(grid, layout, run.id)
    assert model_fingerprint(check_seal(model)) == json.loads(training)["model_fingerprint"]
    assert (folder / "training.json").read_bytes() == training
    assert model.stat().st_mtime_ns == time, "Snakemake would evaluate it again"
    assert not (folder / "retrained").exists()
    assert not run_retrain(grid, layout, run.id), "it has its weights"

    empty_sealed(model, "gone")
    with pytest.raises(UserError, match="removed before its evaluation was complete"):
        run_evaluate(grid, layout, run.id, threads=1)
    record = json.loads(training) | {"threads": 2, "model_fingerprint": "another"}
    record.pop("seal")
    write_record(folder / "training.json", record)
    with pytest.raises(UserError, match="not the weights of the run"):
        run_retrain(grid, layout, run.id)
    assert (folder / "retrained/model/model.safetensors").is_file()
    shutil.rmtree(layout.teacher(run.teacher) / "model")
    with pytest.raises(UserError, match=r"missing; `snakemake --configfile .* makes it"):
        run_retrain(grid, layout, run.id)


@pytest.mark.parametrize("arch", ["deberta-v2", "mpnet"])
def test_attention_is_pruned_and_all_else_runs(tmp_path, arch):
    folder = save_encoder(tmp_path / "encoder", arch)
    grid, layout = run_all(
        tmp_path,
        teachers={"local": {"model": str(folder), "learning_rate": 1e-3, "epochs": 1}},
        axes={
            "knowledge": [
                "none",
                "logits+embedding+hidden+cls",
                "logits+attention",
                "attention-scores",
                "value-relation",
            ]
        },
    )
    pruned = {cell["knowledge"]: reason for cell, reason in grid.pruned}
    assert set(pruned) == {"logits+attention", "attention-scores", "value-relation"}
    reason = attention_obstacle(arch)
    assert pruned["logits+attention"] == (
        f"attention needs queries, keys or values of each head, but {reason}"
    )
    assert len(grid.runs) == 2
    for run in grid.runs.values():
        assert read(layout.run(run) / "model/config.json")["model_type"] == arch
        assert (layout.run(run) / "metrics.json").is_file()


@pytest.mark.parametrize(
    "arch",
    ["bert", *slow("roberta", "distilbert", "electra")],
)
def test_every_initialisation(tmp_path, arch):
    teacher = {"model": "scratch", "arch": arch, "shape": "4L-32-2h-64", **RECIPE}
    grid, layout = run_all(
        tmp_path,
        teachers={"deep": teacher},
        base={"task": "toy-pair", "knowledge": "logits", **RECIPE},
        axes={
            "student": ["2L-32-2h-64", "2L-16-1h-32"],
            "init": [
                "random",
                "teacher-first",
                "teacher:4-1,1-2",
                "teacher-uniform+truncate",
                "pca-embeddings",
            ],
        },
    )
    # Whole layers do not fit the narrow student; scratch ELECTRA's embeddings are narrow already.
    assert len(grid.pruned) == (4 if arch == "electra" else 2)
    assert len(grid.runs) == 10 - len(grid.pruned)
    for run in grid.runs.values():
        origins = read(layout.run(run) / "init.json")
        weights = load_file(layout.run(run) / "model/model.safetensors")
        assert weights.keys() <= origins.keys(), "a tensor without an origin"
        init, narrow = run.labels["init"], "16" in run.labels["student"]
        kinds = {origin.split(":")[0] for origin in origins.values()}
        copied = {"random": {"random"}, "pca-embeddings": {"random", "teacher"}}
        assert kinds == copied.get(init, {"teacher"})
        cut = [origin for origin in origins.values() if " cut to " in origin]
        assert bool(cut) == (narrow and init.endswith("+truncate"))
        compressed = [origin for origin in origins.values() if "PCA of" in origin]
        assert bool(compressed) == (narrow and init == "pca-embeddings")


def test_an_initialisation_alone_needs_its_teacher(tmp_path):
    base = {"student": "2L-16-1h-32", "task": "toy-pair", "knowledge": "none", **RECIPE}
    grid, layout = run_all(tmp_path, base=base, axes={"init": ["random", "pca-embeddings"]})
    needs = {run.labels["init"]: run.needs_teacher for run in grid.runs.values()}
    assert needs == {"random": False, "pca-embeddings": True}
    scores = [read(layout.run(run) / "training.json")["final_loss"] for run in grid.runs.values()]
    assert scores[0] != scores[1]


def test_schedules_calibration_and_errata_reach_the_records(tmp_path):
    grid, layout = run_all(
        tmp_path,
        axes={
            "knowledge": ["logits*0..1+hidden*2%0-50", "hidden@emd"],
            "weights": ["fixed", "calibrated"],
        },
        include=[{"knowledge": "attention", "errata": "padding+double-softmax"}],
    )
    assert len(grid.runs) == 5
    used = {}
    for run in grid.runs.values():
        record = read(layout.run(run) / "metrics.json")
        used[run.labels["knowledge"], run.labels["weights"]] = record["weights_used"]
        assert "nan" not in record["weights_used"]
        with (layout.run(run) / "history.csv").open() as handle:
            rows = list(csv.DictReader(handle))
        if "%" in run.objective:
            name = next(str(term) for term in run.terms if term.knowledge == "hidden")
            assert float(rows[0][name]) > 0 and rows[-1][name] == "", "0 is no measurement"
        if run.labels["knowledge"] == "attention":
            assert record["errata"] == "double-softmax+padding"
    for knowledge in {knowledge for knowledge, _ in used} - {"attention"}:
        fixed, found = used[knowledge, "fixed"], used[knowledge, "calibrated"]
        assert fixed != found, "calibration is inert"
        assert re.sub(r"\*[^ ]+", "", fixed) == re.sub(r"\*[^ ]+", "", found)
    assert used["hidden", "fixed"] == "hard*1 + hidden:mse@emd*1"


@pytest.mark.parametrize("teacher_data", ["all", "same"])
def test_a_fraction_of_the_training_examples(tmp_path, teacher_data):
    base = {**BASE, "knowledge": "logits+hidden", "teacher_data": teacher_data}
    axes = {"train_fraction": [0.25, 1]}
    grid, layout = run_all(tmp_path, base=base, axes=axes)
    small, whole = sorted(grid.runs.values(), key=lambda run: run.values["train_fraction"])
    records = [read(layout.run(run) / "metrics.json") for run in (small, whole)]
    count = records[1]["examples_train"]
    assert count == SYNTHETIC["train"] and abs(records[0]["examples_train"] - count / 4) <= 1
    assert records[0]["steps"] < records[1]["steps"]
    assert records[0]["train_fraction"] == 0.25
    taught = read(layout.teacher(small.teacher) / "metrics.json")["examples_train"]
    assert taught == (count if teacher_data == "all" else records[0]["examples_train"])
    assert (small.teacher.id == whole.teacher.id) == (teacher_data == "all")


def test_stored_outputs_are_those_of_the_chosen_examples(tmp_path):
    """The store has the whole split: a fraction reads its own rows of it."""
    base = {**BASE, "knowledge": "logits+hidden", "train_fraction": 0.3}
    losses = []
    for name, store in (("stored", {"gigabytes": 1}), ("live", False)):
        grid, layout = run_all(tmp_path / name, base=base, axes={"seed": [1]}, store=store)
        (run,) = grid.runs.values()
        record = read(layout.run(run) / "training.json")
        losses.append((record["final_loss"], record["teacher_outputs_computed"]))
    assert losses[0][0] == pytest.approx(losses[1][0], rel=2e-3)
    assert losses[0][1] < losses[1][1]


def test_a_pretrained_start(tmp_path):
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    donor = layout.run(next(iter(grid.runs.values()))) / "model"
    axes = {"init": [f"pretrained:{donor}"], "knowledge": ["none", "logits+hidden"]}
    again, layout = run_all(tmp_path, axes=axes)
    assert len(again.runs) == 2
    for run in again.runs.values():  # neither needs its teacher: what it says is stored
        assert read(layout.run(run) / "training.json")["teacher_outputs_computed"] == 0
        origins = read(layout.run(run) / "init.json")
        assert {o for n, o in origins.items() if n.startswith("bert.")} == {f"pretrained: {donor}"}
        assert origins["classifier.weight"] == "random"
        assert "fingerprint" in run.spec["init"]["pretrained"]


def test_a_model_that_is_not_the_one_that_was_trained_is_refused(tmp_path):
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    (run,) = grid.runs.values()
    folder = layout.run(run)
    training = read_record(folder / "training.json")
    write_record(folder / "training.json", {**training, "model_fingerprint": "another"})
    with pytest.raises(UserError, match="not the model that was trained"):
        run_evaluate(grid, layout, run.id, threads=1)
    state = read(folder / "state.json")
    assert state["state"] == "failed"
    assert "not the model that was trained" in state["error"]


TRAINED = ("device", "threads", "kd_version", "torch_version", "transformers_version",
           "python_version")  # fmt: skip


def test_an_evaluation_elsewhere_does_not_change_what_is_known_of_the_training(
    tmp_path, monkeypatch
):
    """Trained on one machine; metrics.json is lost and made again on another, later."""
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    (run,) = grid.runs.values()
    folder = layout.run(run)
    before = read(folder / "metrics.json")
    assert all(before[name] for name in TRAINED)
    assert before["evaluated_on"] == before["device"] and before["evaluated_threads"] == 1
    (folder / "metrics.json").unlink()
    monkeypatch.setattr(records, "device_name", lambda device: "another")
    monkeypatch.setattr(records.torch, "__version__", "99.0.0")
    monkeypatch.setattr(records.transformers, "__version__", "98.0")
    monkeypatch.setattr(records, "__version__", "97.0")
    monkeypatch.setattr(records.platform, "python_version", lambda: "96.0")
    run_evaluate(grid, layout, run.id, threads=2)
    torch.set_num_threads(1)
    after = read(folder / "metrics.json")
    assert {name: after[name] for name in TRAINED} == {name: before[name] for name in TRAINED}
    assert after["evaluated_on"] == "another" and after["evaluated_threads"] == 2
    assert after["evaluated_with"] == "kd 97.0, torch 99.0.0, transformers 98.0, python 96.0"
    assert after["teacher_evaluated_on"] == before["device"], "the teacher was timed there"
    jsonschema.validate(after, metrics_schema())


def test_a_training_from_before_its_versions_were_recorded_is_still_evaluated(tmp_path):
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    (run,) = grid.runs.values()
    path = layout.run(run) / "training.json"
    training = {k: v for k, v in read_record(path).items() if not k.endswith("_version")}
    write_record(path, training)
    run_evaluate(grid, layout, run.id, threads=1)
    record = read(layout.run(run) / "metrics.json")
    assert record["device"] == training["device"] and record["evaluated_with"]
    assert "torch_version" not in record, "the evaluation's version passed off as the training's"
    assert collect(grid, layout, tmp_path / "runs.csv")["done"] == 1


def test_collected_rows_hold_labels_and_metrics(tmp_path):
    grid, layout = run_all(tmp_path, axes={"knowledge": ["none", "logits"], "temperature": [1, 2]})
    out = tmp_path / "runs.csv"
    assert collect(grid, layout, out)["done"] == 3
    with out.open() as handle:
        rows = {(r["knowledge"], r["temperature"]): r for r in csv.DictReader(handle)}
    assert set(rows) == {("none", "-"), ("logits", "1"), ("logits", "2")}
    assert rows["none", "-"]["teacher_score"] == ""
    assert float(rows["logits", "1"]["teacher_score"]) > 0
    assert rows["logits", "1"]["run"] in grid.runs


def test_threads_are_set_as_asked(tmp_path):
    before = torch.get_num_threads()
    try:
        _, layout = run_all(tmp_path, axes={"seed": [1]})
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    (path,) = layout.results.glob("runs/*/metrics.json")
    assert read(path)["threads"] == 1


@pytest.mark.slow
def test_a_teacher_in_bfloat16(tmp_path):
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    donor = layout.teacher(next(iter(grid.runs.values())).teacher) / "model"
    teacher = {"model": str(donor), "finetuned": True}
    scores = {}
    for dtype in ("float32", "bfloat16"):
        grid, layout = run_all(
            tmp_path,
            teachers={"given": {**teacher, "dtype": dtype}},
            axes={"knowledge": [EVERYTHING]},
        )
        (run,) = grid.runs.values()
        folder = layout.teacher(run.teacher)
        assert (folder / "history.csv").read_text() == "step\n"
        assert read(folder / "model/config.json")["dtype"] == dtype
        scores[dtype] = read(layout.run(run) / "training.json")["final_loss"]
    assert scores["float32"] != scores["bfloat16"]
    assert scores["float32"] == pytest.approx(scores["bfloat16"], rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "dtype"),
    [("bert", torch.float16), pytest.param("modernbert", torch.bfloat16, marks=pytest.mark.slow)],
)
def test_a_teacher_folder_in_half_precision_gives_the_student_of_the_full_one(
    tmp_path, arch, dtype
):
    """Its weights are rounded once; then they are saved in both dtypes, and nothing may differ."""
    full = save_encoder(tmp_path / "full", arch)
    half = tmp_path / "half"
    loaded = AutoModelForSequenceClassification.from_pretrained(full, dtype=dtype)
    shutil.copytree(full, half)
    loaded.save_pretrained(half)
    loaded.float().save_pretrained(full)
    assert {read(folder / "config.json")["dtype"] for folder in (full, half)} != {"float32"}
    found: dict[str, dict[str, object]] = {"full": {}, "half": {}}
    for name, folder in (("full", full), ("half", half)):
        grid, layout = run_all(
            tmp_path / name,
            teachers={
                "tuned": {"model": str(folder), "finetuned": True},
                "trained": {"model": str(folder), **RECIPE},
            },
            base={**BASE, "student": "3L-32-2h-64", "knowledge": "logits+hidden"},
            axes={
                "teacher": ["tuned", "trained"],
                "init": ["random", "teacher-uniform", f"pretrained:{folder}"],
            },
            exclude=[{"teacher": "trained", "init": ["teacher-uniform", f"pretrained:{folder}"]}],
        )
        assert len(grid.runs) == 4
        for run in grid.runs.values():
            record = read(layout.run(run) / "metrics.json")
            assert (record["student_dtype"], record["teacher_dtype"]) == ("float32", "float32")
            assert read(layout.run(run) / "model/config.json")["dtype"] == "float32"
            weights = load_file(layout.run(run) / "model/model.safetensors")
            assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
            teacher = layout.teacher(run.teacher)
            assert read(teacher / "metrics.json")["dtype"] == "float32"
            cell = run.labels["teacher"], "pretrained" if run.donor else run.labels["init"]
            found[name][str(cell)] = weights, record["score"], record["final_loss"]
    for cell, (weights, *numbers) in found["full"].items():
        other, *others = found["half"][cell]
        assert numbers == others, f"{cell}: {numbers} and {others}"
        assert all(torch.equal(weights[name], other[name]) for name in weights), cell


def test_a_fine_tuned_teacher_whose_logits_are_not_finite_is_refused(tmp_path):
    folder = save_encoder(tmp_path / "encoder", "bert")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=f"^{folder}: its logits are not finite for 64 of 64"):
        run_all(
            tmp_path,
            teachers={"given": {"model": str(folder), "finetuned": True}},
            axes={"seed": [1]},
        )
    assert not list((tmp_path / "results").glob("teachers/*/*/metrics.json"))


def test_the_dtype_of_a_teacher_is_recorded_as_it_is(tmp_path):
    folder = save_encoder(tmp_path / "encoder", "bert")
    teacher = {"model": str(folder), "finetuned": True, "dtype": "bfloat16"}
    grid, layout = run_all(tmp_path, teachers={"given": teacher}, axes={"seed": [1]})
    (run,) = grid.runs.values()
    record = read(layout.run(run) / "metrics.json")
    assert (record["student_dtype"], record["teacher_dtype"]) == ("float32", "bfloat16")


def test_the_record_has_the_tokenizer_that_was_used(tmp_path):
    base = {**BASE, "knowledge": "none"}
    grid, layout = run_all(tmp_path, base=base, axes={"max_length": [16, 32]})
    found = set()
    for run in grid.runs.values():
        record = read(layout.run(run) / "metrics.json")
        found.add(record["tokenizer_fingerprint"])
        folder = layout.tokens(run.data_id, run.task, run.tokens_id)
        assert record["tokenizer_fingerprint"] == tokenizer_fingerprint(folder)
        assert record["tokenizer_fingerprint"] == tokenizer_fingerprint(layout.run(run) / "model")
    assert len(found) == 1, "the length is part of it"


def test_the_record_has_what_the_manifest_says_of_the_data(tmp_path):
    grid, layout = run_all(tmp_path, axes={"seed": [1]})
    (run,) = grid.runs.values()
    before = read(layout.run(run) / "metrics.json")
    assert "data_revision" not in before and "data_broken_rows" not in before
    manifest = layout.tokens(run.data_id, run.task, run.tokens_id) / "manifest.json"
    facts = {"revision": "a" * 40, "broken_rows": {"train": 3, "dev": 1}}
    write_json(manifest, {**read(manifest), **facts})
    for path in manifest.parent.glob("checksums*"):
        path.unlink()
    training = read_record(layout.run(run) / "training.json")
    made = records.run_record(run, layout, training, {"score": 0.5})
    assert (made["data_revision"], made["data_broken_rows"]) == ("a" * 40, 4)


def test_a_step_that_fails_before_a_run_is_named_by_its_runs(tmp_path):
    """What the steps write is what the status reads."""
    study = {
        "data": SYNTHETIC,
        "teachers": {"deep": {"model": "scratch", "shape": "3L-32-2h-64", **RECIPE}},
        "base": BASE,
    }
    grid, layout = load_grid(write_study(tmp_path, study_dict(**study))), Layout(tmp_path / "r")
    run = next(iter(grid.runs.values()))
    for step, cause in (
        (lambda: run_tokenise(grid, layout, run.task, run.tokens_id), run.tokens_id),
        (lambda: run_teacher(grid, layout, run.teacher.id, 1), "teacher"),
        (
            lambda: run_outputs(*(grid, layout, run.teacher.id, run.tokens_id, need_of(run), 1)),
            "outputs of",
        ),
    ):
        with pytest.raises(UserError, match="missing"):
            step()
        status, error = run_status(run, layout)
        assert status == "failed" and error.startswith(cause) and "missing" in error
        for folder in layout.before(run).values():
            (folder / STATE).unlink(missing_ok=True)
    prepare_task(grid, layout, run.task)
    assert run_status(run, layout) == ("missing", "")


def untrained_teacher(tmp_path, task="toy-single"):
    """(grid, layout, teacher, step) of a local teacher that a study takes for fine-tuned."""
    labels = TASKS[task].outputs
    folder = save_encoder(tmp_path / f"given-{labels}", "bert")
    build_random(AutoConfig.from_pretrained(folder, num_labels=labels)).save_pretrained(folder)
    study = tiny_study(teachers={"given": {"model": str(folder), "finetuned": True}})
    study |= {"base": {"student": "2L-16-2h-32", "task": task, "knowledge": "logits"}}
    study |= {"axes": {"seed": [1]}}
    grid, layout = load_grid(write_study(tmp_path, study)), Layout(tmp_path / "r")
    (run,) = grid.runs.values()
    prepare_task(grid, layout, task)
    run_tokenise(grid, layout, task, run.teacher.tokens_id)
    return grid, layout, run, lambda: run_teacher(grid, layout, run.teacher.id, 1)


def test_an_encoder_that_reads_too_little_is_refused_before_any_training(tmp_path, monkeypatch):
    """Of a hub model outside the table it is not known before its config is loaded."""
    grid, layout, run, _ = untrained_teacher(tmp_path)
    monkeypatch.setattr(build, "longest_input", lambda config: 64)
    with pytest.raises(UserError, match=r"reads at most 64 tokens.* but max_length is 128"):
        run_tokenise(grid, layout, run.task, run.teacher.tokens_id)


def test_a_teacher_with_its_labels_in_another_order_is_the_same_teacher(tmp_path, monkeypatch):
    _, layout, run, step = untrained_teacher(tmp_path)
    monkeypatch.setattr(teacher_job, "is_unusable", lambda metrics: False)  # nobody trained it
    step()
    plain = layout.teacher(run.teacher)

    folder = tmp_path / "given-2"
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name].flip(0).contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = read(folder / "config.json")
    write_json(folder / "config.json", {**config, "id2label": {"0": "LABEL_1", "1": "LABEL_0"}})
    facts.encoder.cache_clear()
    grid = load_grid(tmp_path / "study.yaml")
    (run,) = grid.runs.values()
    run_tokenise(grid, layout, run.task, run.teacher.tokens_id)
    run_teacher(grid, layout, run.teacher.id, 1)
    other = layout.teacher(run.teacher)
    assert other != plain
    wanted, found = (load_file(place / "model/model.safetensors") for place in (plain, other))
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert read(other / "metrics.json")["score"] == read(plain / "metrics.json")["score"]

    # Names that say nothing: the error has the line to write, here in the other order.
    write_json(folder / "config.json", {**config, "id2label": {"0": "gut", "1": "schlecht"}})
    facts.encoder.cache_clear()
    with pytest.raises(UserError, match="id2label: found gut, schlecht, which do not say") as said:
        load_grid(tmp_path / "study.yaml")
    line = re.search(r"`labels: \[(\S+), (\S+)\]` if output 0 \(gut\) is", str(said.value))
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    study["teachers"]["given"]["labels"] = [line[2], line[1]]
    (run,) = (grid := load_grid(write_study(tmp_path, study))).runs.values()
    run_tokenise(grid, layout, run.task, run.teacher.tokens_id)
    run_teacher(grid, layout, run.teacher.id, 1)
    stated = layout.teacher(run.teacher)
    assert stated not in (plain, other)
    found = load_file(stated / "model/model.safetensors")
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_finetuned_teacher_below_the_constant_answer_stops(tmp_path, monkeypatch, capsys):
    grid, layout, run, step = untrained_teacher(tmp_path)
    folder, measured = layout.teacher(run.teacher), teacher_job.evaluate

    def scores(score):
        def evaluate(*args):
            record, answers = measured(*args)
            return {**record, "score": score, "majority_score": 0.6}, answers

        monkeypatch.setattr(teacher_job, "evaluate", evaluate)

    scores(0.0)
    with pytest.raises(UserError, match=r"teachers\.given: .*given-2: it scores 0\.0 on toy"):
        step()
    assert not (folder / "model").exists() and not (folder / "metrics.json").exists()
    status, error = run_status(run, layout)
    assert status == "failed" and "order of its labels" in error
    assert study_status(grid, layout)["warnings"] == []

    scores(0.6)
    step()
    record = read(folder / "metrics.json")
    assert record["score"] == 0.6 and "no more than the best" in record["teacher_warning"]
    assert "warning: teacher given: it scores 60.0" in capsys.readouterr().err
    (warning,) = study_status(grid, layout)["warnings"]
    assert warning["teacher"] == run.teacher.id and "no more than the best" in warning["warning"]
    assert warning["warning"] in status_text(study_status(grid, layout))


def test_a_regression_teacher_of_another_scale_stops(tmp_path, monkeypatch):
    """Its correlations are right, its errors are not: a student of it would learn both scales."""
    _, layout, run, step = untrained_teacher(tmp_path, "toy-similarity")
    labels = load_split(layout.tokens(run.data_id, run.task, run.tokens_id), "dev").labels
    for scale, message in ((0.2, "R\\^2 -.*on the scale of the labels"), (1, "")):
        monkeypatch.setattr(evaluation, "predict", lambda *_, s=scale: s * labels[:, None])
        if message:
            with pytest.raises(UserError, match=message):
                step()
        else:
            step()
    record = read(layout.teacher(run.teacher) / "metrics.json")
    assert (record["r2"], round(record["pearson"], 6)) == (1, 1)


@pytest.mark.slow
def test_the_table_of_examples_agrees_with_the_scores_of_the_runs(tmp_path):
    """From the answers that the runs left: the same differences as from their metrics."""
    axes = {"task": ["toy-pair", "toy-similarity"], "knowledge": ["none", "logits"]}
    grid, layout = run_all(tmp_path, axes=axes | {"seed": [1, 2]})
    record = tmp_path / "runs.csv"
    collect(grid, layout, record)
    assert write_answers(grid, layout, record) == []
    answers = read_answers(record)
    runs = read_runs(record)
    for task, own in answers.items():
        scores = resampled_scores(own.splits, own.metrics)
        known = runs[runs["task"] == task].set_index("run")["score"]
        assert {run: values[0] for run, values in scores.items()} == pytest.approx(dict(known))
    table = make_tables(runs, answers)["examples"]
    assert [row[:2] for row in table.rows] == [["toy-pair", "none"], ["toy-similarity", "none"]]
