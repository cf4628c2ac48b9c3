"""Hours of a plan: from records, a calibration, or assumed; the longest chain; several devices."""

import json

import pytest
import torch
from safetensors.torch import save_file
from studies import json_of, study_dict, tiny_study, write_study

from kd.axes.shapes import parse_shape
from kd.cli.main import main
from kd.jobs import calibrate
from kd.monitor import rates as rates_module
from kd.monitor.costs import TAKEN, training_seconds
from kd.monitor.plan import plan
from kd.monitor.rates import ASSUMED, Rates
from kd.runtime.device_names import bf16_instructions
from kd.runtime.errors import UserError
from kd.runtime.seals import write_record
from kd.study.grid import load_grid
from kd.study.paths import Layout

CPU = "cpu (x86_64), 1 thread"


@pytest.fixture
def grid(tmp_path):
    axes = {"mapping": ["first", "last"], "seed": [1, 2, 3]}
    return load_grid(write_study(tmp_path, tiny_study(axes=axes)))


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path / "results")


def finish(grid, layout, seconds, count=4, device="cpu (x86_64)", **more):
    """Records of some runs, whose trainings took these seconds, and the tokens they read."""
    runs = list(grid.runs.values())[:count]
    for run in runs:
        record = {
            "task": run.task, "student": run.spec["student"], "student_parameters": 40_000,
            "steps": 3, "examples_train": 96, "epochs": 1, "precision_used": "fp32",
            "train_seconds": seconds, "device": device, "threads": 1, "examples_eval": 64,
            "evaluate_seconds": 0.5, "teacher_outputs_stored": 4, **more,
        }  # fmt: skip
        write_record(layout.run(run) / "metrics.json", record)
    run = runs[0]
    tokens = layout.tokens(run.data_id, run.task, run.tokens_id)
    tokens.mkdir(parents=True, exist_ok=True)
    packed = {"labels": torch.zeros(96), "input_ids": torch.zeros(96 * 12)}
    save_file(packed, tokens / "train.safetensors")
    return runs


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("flags\t: fpu avx512bw avx512_bf16", True), ("Features : asimd bf16", True),
     ("flags : avx2 avx512bw", False), (None, False)],
)  # fmt: skip
def test_bf16_is_assumed_slow_where_the_processor_lacks_it(flags, fast, tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    if flags:
        info.write_text(flags)
    found = bf16_instructions(info)
    assert bool(found) == fast
    monkeypatch.setattr(rates_module, "bf16_instructions", lambda: found)
    training = rates_module.rates_of("cpu", Layout(tmp_path), []).training
    assert (training["bf16"] > training["fp32"]) == fast


def test_a_training_takes_steps_updates_and_operations():
    rates = Rates("cpu", 1, 0.5, 0.25, {"fp32": 10.0, "bf16": 20.0}, 5.0, 1, "assumed")
    shape = parse_shape("2L-32-2h-64")
    seconds = training_seconds(shape, 8, 3, 96, 10, "fp32", rates)
    assert seconds == pytest.approx(3 * (0.5 * 4 + 0.25 * 8) + 3 * 96 * shape.flops(10) / 10)
    half = training_seconds(shape, 0, 0, 96, 10, "bf16", rates)
    assert half == pytest.approx(3 * 96 * shape.flops(10) / 20)
    live = training_seconds(shape, 0, 0, 96, 10, "bf16", rates, live=shape)
    assert live - half == pytest.approx(96 * shape.flops(10) / 5)


def test_without_records_the_kind_of_device_is_assumed(grid, layout):
    found = {device: plan(grid, layout, device)["time"] for device in ("cpu", "gpu")}
    assert {time["rates_from"] for time in found.values()} == {"assumed"}
    assert not any(time["trainings"] for time in found.values())
    for time in found.values():
        assert sum(one["hours"] for one in time["rules"].values()) == pytest.approx(time["hours"])
        assert time["chain_hours"] == pytest.approx(sum(hours for _, hours in time["chain"]))
        names = [name for name, _ in time["chain"]]
        assert names[:5] == ["data and tokens", "teacher", "outputs", "distil", "evaluate"]
    with pytest.raises(UserError, match="--device: found 'tpu', allowed: cpu, gpu"):
        plan(grid, layout, "tpu")


def test_jobs_that_find_their_outputs_stored_are_short(tmp_path):
    """The first job stores what all runs need. Here two needs are two jobs."""
    found = []
    for knowledge in (["logits+hidden"], ["logits", "logits+hidden"]):
        axes = {"knowledge": knowledge, "seed": [1]}
        grid = load_grid(write_study(tmp_path, tiny_study(axes=axes)))
        planned = plan(grid, Layout(tmp_path / "results"), "cpu")
        assert planned["jobs"]["outputs"] == len(knowledge)
        found.append(planned["time"]["rules"]["outputs"]["hours"] * 3600)
    assert found[1] - found[0] == pytest.approx(TAKEN, abs=1e-6)


def test_one_array_over_the_budget_slows_only_the_runs_that_read_it(tmp_path):
    def distil_hours(knowledge):
        study = tiny_study(axes={"knowledge": knowledge, "seed": [1]}, store={"gigabytes": 1e-9})
        grid = load_grid(write_study(tmp_path, study))
        return plan(grid, Layout(tmp_path / "results"), "cpu")["time"]["rules"]["distil"]["hours"]

    both = distil_hours(["logits", "logits+hidden"])
    assert both == pytest.approx(distil_hours(["logits"]) + distil_hours(["logits+hidden"]))


def test_several_devices_share_the_work_but_not_the_chain(grid, layout):
    alone, some, many = (plan(grid, layout, "cpu", n)["time"] for n in (1, 2, 10_000))
    assert alone["wall_hours"] == pytest.approx([alone["hours"]] * 2)
    assert alone["hours"] / 2 <= some["wall_hours"][0] <= some["wall_hours"][1] < alone["hours"]
    assert many["wall_hours"][0] == many["chain_hours"] == alone["chain_hours"]
    assert many["wall_hours"][1] == pytest.approx(many["chain_hours"], rel=0.01)


def test_records_correct_the_model(grid, layout):
    runs = finish(grid, layout, 36000)
    found = plan(grid, layout)
    time = found["time"]
    assert (time["device"], time["trainings"]) == (CPU, 4) and found["device_hours_measured"]
    assert time["rules"]["distil"]["hours"] == pytest.approx(20, rel=0.1), "two are left"
    assert time["rules"]["distil"]["basis"] == "measured"
    assert time["rules"]["teacher"]["hours"] > 1, "students say how fast teachers are"
    finish(grid, layout, 0.1)
    assert not plan(grid, layout)["time"]["trainings"], "too short to say anything"
    finish(grid, layout, 36000, device="cpu (arm)")
    slow = layout.run(runs[0]) / "log"
    slow.mkdir()
    (slow / "distil.benchmark.tsv").write_text("s\th:m:s\n36100\t-\n")
    time = plan(grid, layout)["time"]
    assert time["device"] == "cpu (arm), 1 thread"
    assert time["starts"] == pytest.approx(9 * 100 / 3600, rel=0.02), (
        "each job that is left starts as slowly as the timed one; two only take an evaluation"
    )


def test_records_of_other_studies_count_where_there_are_no_own(tmp_path, grid, layout):
    finish(grid, layout, 36000)
    other = study_dict(**tiny_study(study="other", axes={"seed": [11, 12]}))
    other = load_grid(write_study(tmp_path, other, "other.yaml"))
    assert plan(other, layout)["time"]["trainings"] == 4
    finish(other, layout, 7200, count=1)
    assert plan(other, layout)["time"]["trainings"] == 5, "one of its own is too few"


def test_a_calibration_is_read_and_written_by_device(tmp_path, grid, layout, monkeypatch, capsys):
    for name, value in (("_SECONDS", 0.01), ("_FILE", 1000), ("_LARGE", calibrate._TINY)):
        monkeypatch.setattr(calibrate, name, value)
    monkeypatch.setattr(calibrate, "_MANY", 2000)
    monkeypatch.setattr(calibrate, "_start_seconds", lambda clock: 720.0)
    made = json_of(capsys, "calibrate", "--results", layout.results)
    assert made["device"].startswith("cpu (") and made["device"].endswith("), 1 thread")
    rates = [made["step"], made["forward"], made["disk"], *made["training"].values()]
    assert all(rate > 0 for rate in rates)
    time = plan(grid, layout)["time"]
    assert (time["device"], time["rates_from"]) == (made["device"], "calibration")
    assert time["rules"]["distil"]["basis"] == "calibrated"
    assert time["rules"]["distil"]["hours"] > 6 * 0.2, "six jobs start, each in 720 seconds"
    assert time["rules"]["evaluate"]["hours"] < 0.01, "that is done by the trainings"
    assert plan(grid, layout, "gpu")["time"]["rates_from"] == "assumed"
    one = json.loads(layout.calibration.read_text())["devices"]
    fast = dict(one[made["device"]], start=1.0)
    write_record(layout.calibration, {"devices": {**one, "Fast GPU": fast}})
    assert plan(grid, layout, "gpu")["time"]["device"] == "Fast GPU"
    assert plan(grid, layout, "Fast GPU")["time"]["starts"] < 0.01
    assert main(["plan", str(grid.study.path), "--results", str(layout.results)]) == 0
    assert "from what `kd calibrate` measured" in capsys.readouterr().out
    write_record(layout.calibration, {"devices": {"Fast GPU": {}}})
    with pytest.raises(UserError, match=r"calibration\.json: damaged; `kd calibrate` writes it"):
        plan(grid, layout)


def test_the_assumed_rates_are_those_of_a_training_that_was_measured():
    """3L-384 in bf16 on one core: 616 steps of 32 examples of 15 tokens took 69 to 105 s of CPU."""
    shape = parse_shape("3L-384")
    seconds = training_seconds(shape, 17.4e6, 616, 4 * 4906, 15, "bf16", ASSUMED["cpu"], terms=True)
    assert 69 < seconds + ASSUMED["cpu"].start < 115
