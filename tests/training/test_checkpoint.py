"""A training that was killed and goes on comes to the same bits; what does not fit is not read."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from trainings import IDENTITY, TERMS, DyingAt, Training, differs, make_objective, term

from kd.axes.mappings import MAPPINGS, resolve_mapping
from kd.runtime.errors import UserError
from kd.runtime.signals import Stopped
from kd.training import checkpoint as saved
from kd.training import loop
from kd.training.checkpoint import Checkpoint


def killed_and_resumed(tmp_path: Path, step: int, *terms: Any, **changed: Any) -> Training:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        Training(tmp_path, *terms, checkpoint=DyingAt(path, step), **changed)
    assert path.is_file()
    return Training(tmp_path, *terms, checkpoint=Checkpoint(path, IDENTITY), **changed)


@pytest.mark.parametrize("step", [1, 3, 4, 7])
@pytest.mark.parametrize("weights", ["fixed", "calibrated", "balanced"])
def test_a_training_that_was_killed_comes_to_the_same_bits(tmp_path, step, weights):
    changed: dict[str, Any] = {"weights": weights, "epochs": 2}
    whole = Training(tmp_path, *TERMS, **changed)
    parts = killed_and_resumed(tmp_path, step, *TERMS, **changed)
    assert not differs(whole.state(), parts.state()), "the student or a projection differs"
    assert whole.history == parts.history
    assert (whole.result.steps, whole.result.examples) == (parts.result.steps, 60)


@pytest.mark.parametrize("projection", ["shared", "orthogonal"])
def test_projections_of_each_kind_go_on_where_they_were(tmp_path, projection):
    changed: dict[str, Any] = {"projection": projection, "epochs": 2}
    whole = Training(tmp_path, *TERMS, **changed)
    parts = killed_and_resumed(tmp_path, 3, *TERMS, **changed)
    assert not differs(whole.state(), parts.state())
    assert whole.history == parts.history
    assert whole.history != Training(tmp_path, *TERMS, epochs=2).history, f"{projection} is inert"


@pytest.mark.parametrize(("folder", "file"), [(0o2775, 0o664), (0o755, 0o644), (0o700, 0o600)])
def test_who_may_write_to_the_folder_may_go_on(tmp_path, folder, file):
    path = tmp_path / "run/checkpoint.safetensors"
    path.parent.mkdir()
    path.parent.chmod(folder)
    assert Checkpoint(path, IDENTITY).save({"x": torch.zeros(2)}, {})
    assert path.stat().st_mode & 0o777 == file


@pytest.mark.parametrize("mapping", [name for name, row in MAPPINGS.items() if row.moving])
def test_moving_mappings_go_on_where_they_were(tmp_path, mapping):
    taught = term("hidden", resolve_mapping(mapping, 3, 2, 1), moving=mapping)
    whole = Training(tmp_path, taught)
    parts = killed_and_resumed(tmp_path, 5, taught)
    assert not differs(whole.state(), parts.state())
    assert whole.history == parts.history


def test_a_teachers_classifier_is_there_again(tmp_path):
    """It is not in the checkpoint, and its projection is."""
    taught = term("teacher-classifier")
    whole = Training(tmp_path, taught, epochs=2)
    parts = killed_and_resumed(tmp_path, 3, taught, epochs=2)
    assert parts.history == whole.history
    assert not differs(whole.state(), parts.state())


def test_a_row_of_history_that_was_half_full_is_the_same(tmp_path):
    """With 52 steps a row is the mean of two: the kill falls between them."""
    windows = term("hidden", weight="1%0-50"), term("logits", weight="0..1")
    changed: dict[str, Any] = {"epochs": 26, "batch_size": 15}
    whole = Training(tmp_path, *windows, **changed)
    parts = killed_and_resumed(tmp_path, 25, *windows, **changed)
    assert whole.history == parts.history
    assert not differs(whole.state(), parts.state())


def test_a_teacher_that_draws_dropout_goes_on_as_it_would_have(tmp_path):
    changed = {"errata": "teacher-in-training"}
    whole = Training(tmp_path, *TERMS, **changed)
    assert whole.history == killed_and_resumed(tmp_path, 3, *TERMS, **changed).history


def test_the_time_of_a_training_is_that_of_all_its_jobs(tmp_path):
    class Slow(DyingAt):
        """The job that died had worked for a thousand seconds."""

        def save(self, tensors: Any, facts: Any) -> bool:
            return super().save(tensors, {**facts, "seconds": 1000.0})

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        Training(tmp_path, checkpoint=Slow(path, 3))
    resumed = Training(tmp_path, checkpoint=Checkpoint(path, IDENTITY))
    assert 1000 < resumed.result.seconds < 2000


def test_the_state_of_a_second_job_has_the_time_of_the_first(tmp_path):
    class Remembering(Checkpoint):
        def due(self) -> bool:
            return True

        def save(self, tensors: Any, facts: Any) -> bool:
            saved_at[facts["step"]] = facts["seconds"]
            return super().save(tensors, facts)

        def load(self) -> Any:
            found = super().load()
            return found and (found[0], {**found[1], "seconds": 1000.0})

    saved_at: dict[int, float] = {}
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped):
        Training(tmp_path, checkpoint=DyingAt(path, 3))
    result = Training(tmp_path, checkpoint=Remembering(path, IDENTITY)).result
    assert list(saved_at) == [4, 5, 6, 7], "the end of a training is no state to go on from"
    assert 1000 < saved_at[4] < saved_at[7] < result.seconds < 2000


@pytest.mark.parametrize(
    ("kept", "said"), [(True, "the state is saved: start again to go on"), (False, "not saved")]
)
def test_who_stops_a_training_is_told_whether_its_state_is_saved(tmp_path, monkeypatch, kept, said):
    monkeypatch.setattr("kd.training.loop.deferred", lambda: nullcontext(lambda: "SIGTERM"))
    monkeypatch.setattr(Checkpoint, "save", lambda *_: kept)
    with pytest.raises(Stopped, match=rf"after step 1 of 8; {said}"):
        Training(tmp_path, checkpoint=Checkpoint(tmp_path / "c", IDENTITY))


def test_the_progress_of_a_resumed_training_starts_at_its_step(tmp_path, monkeypatch):
    started: list[Any] = []
    monkeypatch.setattr("kd.runtime.progress.Progress.start", lambda _, *args: started.append(args))
    monkeypatch.setattr("kd.runtime.progress.Progress.advance", lambda *_: None)
    killed_and_resumed(tmp_path, 3)
    assert started == [("testing", 8, 0, 0), ("testing", 8, 3, 0)]


def test_a_finished_training_leaves_no_state(tmp_path):
    checkpoint = save(tmp_path / "c")
    for _ in range(2):
        checkpoint.remove()
        assert not list(tmp_path.iterdir()) and checkpoint.load() is None


def test_saving_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(saved.SECONDS, "0")
    path = tmp_path / "checkpoint.safetensors"
    watched = Training(tmp_path, *TERMS, checkpoint=Checkpoint(path, IDENTITY))
    assert path.is_file(), "no checkpoint was written"
    assert not differs(Training(tmp_path, *TERMS).state(), watched.state())


# --- which checkpoint is read -------------------------------------------------------------------


def save(path: Path) -> Checkpoint:
    checkpoint = Checkpoint(path, IDENTITY)
    assert checkpoint.save({"a": torch.arange(3.0), "b": torch.tensor(7)}, {"step": 3})
    return checkpoint


def test_what_was_saved_is_read(tmp_path):
    found = save(tmp_path / "c").load()
    assert found is not None
    tensors, facts = found
    assert tensors["a"].tolist() == [0, 1, 2] and tensors["b"].item() == 7
    assert facts == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["c"], "something was left beside it"


def test_another_trainings_checkpoint_is_not_read(tmp_path, capsys):
    save(tmp_path / "c")
    assert Checkpoint(tmp_path / "c", {"run": 2}).load() is None
    assert "of another training" in capsys.readouterr().out


def test_no_bit_of_a_checkpoint_can_flip_unseen(tmp_path, capsys):
    checkpoint = save(tmp_path / "c")
    content = (tmp_path / "c").read_bytes()
    for at in range(len(content)):
        (tmp_path / "c").write_bytes(
            content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
        )
        found = checkpoint.load()
        if found is not None:  # a bit that means nothing, such as a space
            assert found[0]["a"].tolist() == [0, 1, 2] and found[1] == {"step": 3}, f"byte {at}"


@pytest.mark.parametrize(
    "changed",
    [lambda a: a.view(torch.int32), lambda a: a.reshape(1, 3), lambda a: a.view(torch.uint8)],
    ids=["dtype", "shape", "both"],
)
def test_the_same_bytes_of_another_type_or_shape_are_not_read(tmp_path, capsys, changed):
    checkpoint = save(tmp_path / "c")
    with safe_open(tmp_path / "c", "pt") as file:
        metadata = file.metadata()
    tensors = load_file(tmp_path / "c")
    save_file(tensors, tmp_path / "c", metadata)
    assert checkpoint.load() is not None
    save_file({**tensors, "a": changed(tensors["a"])}, tmp_path / "c", metadata)
    assert checkpoint.load() is None
    assert "wrong checksum" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_checkpoint_cut_short_starts_from_the_beginning(tmp_path, capsys, share):
    checkpoint = save(tmp_path / "c")
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[: int(share * len(content))])
    assert checkpoint.load() is None
    assert "damaged" in capsys.readouterr().out


def test_a_full_disk_does_not_end_a_training(tmp_path, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    checkpoint = save(tmp_path / "c")
    before = (tmp_path / "c").read_bytes()
    monkeypatch.setattr(saved, "save_file", full)
    assert not checkpoint.save({"a": torch.zeros(1)}, {})
    assert "the previous one stays" in capsys.readouterr().out
    assert (tmp_path / "c").read_bytes() == before


def test_a_checkpoint_that_fails_after_it_was_written_leaves_no_file(tmp_path, monkeypatch):
    """A quota that is noticed late: what was written aside would take the room for good."""

    def full(_: int) -> None:
        raise OSError(122, "Disk quota exceeded")

    checkpoint = save(tmp_path / "c")
    monkeypatch.setattr(saved.os, "fsync", full)
    assert not checkpoint.save({"a": torch.zeros(1)}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_it_is_due_after_the_interval_whatever_the_clock_says(tmp_path, monkeypatch):
    monkeypatch.setenv(saved.SECONDS, "100")
    checkpoint = Checkpoint(tmp_path / "c", {})
    monkeypatch.setattr("time.time", lambda: 1e12)
    assert not checkpoint.due()
    now = saved.time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 101)
    assert checkpoint.due()


@pytest.mark.parametrize("full", [False, True])
def test_after_saving_the_interval_begins_anew(tmp_path, monkeypatch, full):
    """Also where the disk is full: the training must not stop at every step to try again."""
    monkeypatch.setenv(saved.SECONDS, "100")
    now = [saved.time.monotonic()]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    checkpoint = Checkpoint(tmp_path / "c", {})
    if full:
        (tmp_path / "c").mkdir()
    for _ in range(3):
        now[0] += 101
        assert checkpoint.due()
        assert checkpoint.save({"a": torch.zeros(1)}, {}) is not full
        assert not checkpoint.due(), "every step would save"
        now[0] += 98
        assert not checkpoint.due()


@pytest.mark.parametrize("text", ["soon", "-1", "nan"])
def test_an_interval_that_is_none_is_a_sentence(monkeypatch, text):
    monkeypatch.setenv(saved.SECONDS, text)
    with pytest.raises(UserError, match="KD_CHECKPOINT_SECONDS: found"):
        saved.interval()


def test_tensors_that_share_memory_are_saved(tmp_path):
    whole = torch.arange(4.0)
    checkpoint = Checkpoint(tmp_path / "c", {})
    assert checkpoint.save({"one": whole, "two": whole, "half": whole[2:]}, {})
    found = load_file(tmp_path / "c")
    assert found["two"].tolist() == [0, 1, 2, 3] and found["half"].tolist() == [2, 3]


def test_the_folder_of_a_checkpoint_is_made_when_it_is_saved(tmp_path):
    checkpoint = Checkpoint(tmp_path / "runs" / "one" / "c", IDENTITY)
    assert not (tmp_path / "runs").exists()
    assert checkpoint.save({"a": torch.zeros(1)}, {"step": 3}) and checkpoint.load() is not None


def test_a_transposed_tensor_is_saved_as_it_reads(tmp_path):
    checkpoint = Checkpoint(tmp_path / "c", {})
    assert checkpoint.save({"a": torch.arange(6.0).reshape(2, 3).T}, {})
    found = checkpoint.load()
    assert found is not None and found[0]["a"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_nothing_is_pickled(tmp_path):
    """Whoever reads a checkpoint runs none of its code: tensors and JSON."""
    model, objective = tiny_model(), make_objective(term("hidden"))
    checkpoint = Checkpoint(tmp_path / "c", {})
    checkpoint.save(saved.module_tensors(student=model, objective=objective), {"step": 1})
    size = int.from_bytes((tmp_path / "c").read_bytes()[:8], "little")
    header = json.loads((tmp_path / "c").read_bytes()[8 : 8 + size])
    assert {"identity", "facts", "checksum"} == header.pop("__metadata__").keys()
    assert all(entry["dtype"] in ("F32", "F64", "I64", "U8") for entry in header.values())


def test_a_signal_after_the_last_step_ends_the_job(tmp_path, monkeypatch):
    """A training that resumes at its end draws all batches again, and may be asked to stop then."""
    asked: list[str] = []
    real = loop.training_batches

    def batches(*args: Any) -> Any:
        yield from real(*args)
        asked.append("SIGTERM")

    monkeypatch.setattr(loop, "training_batches", batches)
    monkeypatch.setattr(loop, "deferred", lambda: nullcontext(lambda: asked[0] if asked else ""))
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stopped, match="after step 8 of 8; the state is saved"):
        Training(tmp_path, checkpoint=Checkpoint(path, IDENTITY))
