"""The benchmark in its smallest form: all train, and compute the same loss. Nothing is timed."""

import argparse
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import general, gpu, own, peers
from benchmarks.busy import covered
from benchmarks.contenders import (
    ALL,
    ALONE,
    BREWER,
    OURS,
    PADDED,
    TORCHDISTILL,
    TYPES,
    UNSTORED,
    Contender,
    check_losses,
    contenders,
)
from benchmarks.measure import Timing, interleaved, ratio
from benchmarks.table import markdown
from benchmarks.workload import NAMES, Workload, workload
from kd.runtime.files import read_json


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = tmp_path_factory.mktemp("bench")
    made = workload(13, 12, "3L-24-12h-48", "3L-48-12h-96", 8, folder)
    own.store(made, [ALL, *TYPES])
    return made


@pytest.mark.parametrize("mean", [*NAMES, 30])
def test_examples_are_as_long_as_the_workload_says(mean: int, tmp_path: Path) -> None:
    made = workload(mean, 4000, "2L-24-12h-48", "3L-48-12h-96", 8, tmp_path)
    assert made.split.lengths.float().mean().item() == pytest.approx(mean, rel=0.05)
    assert made.split.lengths.min() >= 4 and made.split.lengths.max() <= 128


def test_every_batch_of_the_others_is_padded_and_each_example_there_once(work: Workload) -> None:
    for padded in (False, True):
        batches = list(peers.Batches(work, padded, work.steps))
        assert sum(int(b["attention_mask"].sum()) for b in batches) == work.tokens
        assert sum(len(b["labels"]) for b in batches) == len(work.split)
        assert all(b["input_ids"].shape[1] == 128 for b in batches) == padded


@pytest.mark.peers
def test_the_losses_are_the_same_in_textbrewer_and_torchdistill(work: Workload) -> None:
    for name, (ours, theirs) in check_losses(work).items():
        assert ours == pytest.approx(theirs, rel=2e-3), name


@pytest.mark.parametrize("name", [ALONE, OURS, UNSTORED, *TYPES])
def test_every_contender_of_ours_trains_all_examples(work: Workload, name: str) -> None:
    fitted = contenders(work, list(TYPES), others=True)[name].prepare()()
    assert (fitted.examples, fitted.steps) == (12, 2)


PEERS = {
    BREWER: partial(peers.textbrewer, padded=False),
    PADDED: partial(peers.textbrewer, padded=True),
    TORCHDISTILL: peers.torchdistill,
}


@pytest.mark.peers
@pytest.mark.parametrize("name", PEERS)
def test_every_other_library_trains(work: Workload, name: str) -> None:
    train, loss = PEERS[name](work, steps=work.steps)
    batch = peers.Batches(work, False).batch(work.same_length())
    before = loss(batch).item()
    train()
    assert loss(batch).item() < before
    assert name in contenders(work, [], others=True)


def test_contenders_take_turns_and_slow_ones_fewer() -> None:
    order: list[str] = []
    found = {
        name: Contender(lambda name=name: lambda: order.append(name), steps=1) for name in "abc"
    }
    timings = interleaved(found, 3, {"b": 1})
    assert order == ["a", "b", "c", "a", "c", "a", "c"]
    assert [len(timings[name].wall) for name in "abc"] == [3, 1, 3]


def test_a_ratio_is_of_the_same_repetition() -> None:
    timings = {"a": Timing([2, 9, 8], [2, 9, 8]), "b": Timing([1, 3, 2], [1, 3, 2])}
    assert ratio(timings, "a", "b") == {"median": 3, "least": 2, "most": 4}


# --- on a GPU ---------------------------------------------------------------------------------


def test_kernels_that_overlap_count_once() -> None:
    assert covered([(4, 6), (0, 2), (1, 3), (5, 5.5)]) == (5, 6)
    assert covered([]) == (0, 0)


def test_the_tests_on_a_gpu_are_counted() -> None:
    report = """<testsuites><testsuite><testcase name="good"/><testcase name="bad"><failure/>
        </testcase><testcase name="broken"><error/></testcase><testcase name="not"><skipped/>
        </testcase></testsuite></testsuites>"""
    assert gpu.counted(report) == {"passed": 1, "skipped": 1, "failed": ["bad", "broken"]}


@pytest.mark.parametrize("name", [gpu.ORDINARY, gpu.ANY_KERNEL])
def test_what_is_timed_on_a_gpu_trains_as_many_steps_as_it_says(work: Workload, name: str) -> None:
    settings = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    fitted = gpu.contenders(work, 1)[name].prepare()()
    assert (fitted.steps, fitted.precision) == (1, "bf16")
    assert settings == (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads())


@pytest.mark.slow
def test_all_that_is_measured_on_a_gpu_as_far_as_a_cpu_can(tmp_path: Path) -> None:
    """Every part, with two processes on one device; its tests are skipped here."""
    options = argparse.Namespace(
        **{"students": ["2L-24-12h-48"], "teacher": "3L-48-12h-96", "batch_size": 8},
        **{"tokens": 300, "lengths": [13], "packed": [1, 2], "seconds": 0.5},
        **{"repetitions": 1, "minutes": 9.0, "out": tmp_path},
    )
    assert gpu.main(options, tmp_path / "work") == 0
    found = read_json(tmp_path / "gpu.json")
    assert found["tests"]["skipped"] > 50 and not found["failed"] and not found["left_out"]
    assert [row["jobs"] for row in found["packing"]] == [1, 2]
    assert {digest for row in found["packing"] for digest in row["digests"]} == set(
        found["bits"]["fp32"]
    )
    assert found["training 13"]["rows"][OURS]["to_ours"]["median"] == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "| 2 | " in text and f"| {gpu.ORDINARY} | " in text
    options.minutes = 0.0
    assert "training 13" in gpu.measure(options, tmp_path / "again")["left_out"]


def test_a_part_that_ends_the_process_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("card", "tests", "bits", "profiled", "_training"):
        monkeypatch.setattr(gpu, name, lambda *given: {})
    made = argparse.Namespace(folder=tmp_path, steps=1)
    monkeypatch.setattr(gpu, "workload", lambda *given: made)
    monkeypatch.setattr(gpu, "packed", lambda *given: sys.exit("error: other losses"))
    monkeypatch.setattr(gpu.jobs, "start", lambda *given: [{"wall": 1.0}])
    options = argparse.Namespace(
        **{"students": ["2L-24-12h-48"], "teacher": "3L-48-12h-96", "batch_size": 8},
        **{"tokens": 300, "lengths": [13], "packed": [1], "seconds": 0.5},
        **{"repetitions": 1, "minutes": 9.0, "out": tmp_path},
    )
    found = gpu.measure(options, tmp_path)
    assert found["failed"] == {"packing": "SystemExit: error: other losses"}
    assert found["start"] == [{"wall": 1.0}]


@pytest.mark.slow  # heads as wide as a vocabulary
def test_a_stage_and_its_teacher_alone_are_timed() -> None:
    rows = general.general("2L-24-12h-48", "3L-48-12h-96", batch_size=2, steps=2, repetitions=1)
    assert [row["knowledge"] for row in rows] == [
        "hidden+attention",
        "mlm-logits+hidden:cosine@last-only + masked words",
    ]
    for row in rows:
        assert row["tokens_per_second"] > 0 and row["teachers_share"]["median"] > 0


def test_the_table_shows_each_contender() -> None:
    row = {"median": 1.5, "least": 1.25, "most": 2.0}
    part = {
        "workload": "RTE-like",
        "student": "4L-312",
        "examples": 64,
        "mean_tokens": 65.0,
        "store_cpu_seconds": 12.0,
        "losses": {"TextBrewer": [1.0, 1.0]},
        "needs": {"flops": 2e9, "bytes": 3e9},
        "peak_bytes": {"student alone": 1_500_000_000},
        "contenders": {
            "student alone": {
                "seconds": [1.0, 3.0, 2.0],
                "examples_per_second": 64.0,
                "to_student_alone": row,
                "to_ours": row,
            }
        },
    }
    found = {
        "measured": "today",
        "device": "CPU",
        "threads": 1,
        "torch": "2",
        "teacher": "12L-768",
        "batch_size": 32,
        "machine": {"fp32_flops": 6e10, "bf16_flops": 1e11, "bytes": 2e10},
        "training": [part],
        "start": [{"wall": 2.5, "cpu": 2.25}],
        "grids": [
            {
                "runs": 1000,
                "jobs": 2017,
                "plan": 0.5,
                "plan_cpu": 0.25,
                "dry_run": 5.0,
                "dry_run_cpu": 4.0,
            }
        ],
    }
    found["again"] = [{"runs": 1000, "again": 6.0, "again_cpu": 5.5}]
    found["growth"] = [
        {
            "what": "twice the layers",
            "examples": 320,
            "student": "8L-312",
            "epoch_seconds": [4.0, 2.0, 3.0],
            "epoch_flops": 3e11,
            "peak_bytes": 1_250_000_000,
            "stored_bytes": 2_000_000,
            "model_bytes": 50_000_000,
        }
    ]
    found["general"] = [
        {
            "knowledge": "hidden+attention",
            "student": "4L-312",
            "tokens_per_second": 640.0,
            "tokens_per_second_without_teacher": 1280.0,
            "teachers_share": row,
        }
    ]
    text = markdown(found)
    assert "| hidden+attention | 4L-312 | 640 | 1280 | 1.50 (1.25 to 2.00) |" in text
    assert "| student alone | 64.0 | 1.50 (1.25 to 2.00) | 1.50 (1.25 to 2.00) |" in text
    assert "2.50 (2.25)" in text and "| 1000 | 2017 | 0.5 (0.2) | 5.0 (4.0) |" in text
    assert "takes 2.000 s" in text and "student alone 1.50" in text
    assert "grid of 1000 runs asked again: 6.0 (5.5) s" in text
    assert "| twice the layers | 320 | 8L-312 | 3.0 (2.0 to 4.0) | 100 | 1.25 | 2 | 50 |" in text
