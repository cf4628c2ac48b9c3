"""Stored teacher outputs: what is read is what the teacher says, or it is refused."""

import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SHAPE, VOCABULARY, tiny_model

from kd.data.tokens import Split
from kd.encoders.capture import Capture, capture_teacher, vector_of
from kd.losses.moving import Moment
from kd.runtime.device import model_inputs
from kd.runtime.errors import UserError
from kd.runtime.progress import Progress
from kd.study.teacher_outputs import name_of
from kd.teacher import manifests, store
from kd.teacher.features import TeacherFeatures
from kd.teacher.manifests import missing_outputs
from kd.teacher.store import captured, open_outputs, write_outputs

CPU = torch.device("cpu")
IDENTITY = {"teacher": "abc", "tokens": "def"}
KEYS = {
    ("logits", 0),
    ("cls", 2),
    ("pooled", 1),
    ("hidden", 0),
    ("hidden", 3),
    *((name, 2) for name in ("query", "key", "value")),
}
START = Moment(0, 10, 0, 1)


def make_split(count: int = 70) -> Split:
    """Ragged examples, more than one batch of the writer."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 9, (count,), generator=generator)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    ids = torch.randint(5, VOCABULARY, (int(offsets[-1]),), generator=generator).int()
    return Split({"input_ids": ids}, offsets, torch.zeros(count), torch.arange(count), padding=0)


def write(folder: Path, split: Split, keys=KEYS, identity=IDENTITY, seed: int = 1):
    """Store what is not there."""
    teacher = tiny_model(seed=seed, labels=3).eval()
    progress = Progress(folder.parent / "state", "test")
    lacking = missing_outputs(folder, keys, identity)
    write_outputs(folder, lacking, teacher, split, identity, CPU, progress)
    return teacher


def test_stored_features_are_the_teachers(tmp_path):
    split = make_split()
    teacher = write(tmp_path / "outputs", split)
    stored = open_outputs(tmp_path / "outputs", KEYS, split, IDENTITY)
    rows = torch.tensor([3, 69, 0, 17])
    batch = split.batch(rows)
    mask = batch["attention_mask"].bool()
    with Capture(teacher, captured(KEYS)) as capture:
        live = capture_teacher(capture, **model_inputs(batch))
    found = stored.batch(rows)
    assert set(found) == KEYS
    for (name, layer), value in found.items():
        if name in ("cls", "pooled"):
            wanted = vector_of(name, live["hidden", layer], mask)
        else:
            wanted = live[name, layer]
        if name == "hidden":
            assert not value[~mask].any(), "padding is not 0"
            value, wanted = value[mask], wanted[mask]
        elif name in ("query", "key", "value"):
            value, wanted = value.transpose(1, 2)[mask], wanted.transpose(1, 2)[mask]
        assert value.dtype == (torch.float32 if name == "logits" else torch.float16)
        # Half precision, and another padding in the writer's batches.
        torch.testing.assert_close(value.float(), wanted, rtol=1e-3, atol=1e-3, msg=f"{name}")


def test_a_new_key_is_computed_alone(tmp_path):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write(folder, split, {("hidden", 3), ("hidden", 1)})
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert set(after) - set(before) == {"hidden-1.npy", "hidden-1.json", "hidden-1.verified.json"}
    assert {name: after[name] for name in before} == before, "what was there was made again"


def test_another_teacher_or_other_tokens_are_never_read(tmp_path):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    for other in ({**IDENTITY, "teacher": "xyz"}, {**IDENTITY, "tokens": "xyz"}):
        assert not open_outputs(folder, KEYS, split, other).arrays
    old = np.load(folder / "hidden-3.npy")
    write(folder, split, {("hidden", 3)}, {**IDENTITY, "teacher": "xyz"}, seed=2)
    assert not np.array_equal(old, np.load(folder / "hidden-3.npy")), "the old one was kept"


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend", "other"])
def test_a_damaged_array_is_refused_and_removed(tmp_path, damage):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3), ("logits", 0)})
    file = folder / "hidden-3.npy"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "truncate":
        del content[-5:]
    elif damage == "extend":
        content += b"\0"
    else:
        content = bytearray((folder / "logits.npy").read_bytes())
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"hidden-3.npy: damaged"):
        open_outputs(folder, {("hidden", 3)}, split, IDENTITY)
    assert not file.exists() and not file.with_suffix(".json").exists(), "it could be read again"
    write(folder, split, {("hidden", 3)})
    assert set(open_outputs(folder, KEYS, split, IDENTITY).arrays) == {("hidden", 3), ("logits", 0)}


@pytest.fixture
def hashed(monkeypatch):
    """The files whose bytes are read to check them."""
    files, checksum = [], manifests._checksum
    monkeypatch.setattr(
        manifests, "_checksum", lambda file: files.append(file.name) or checksum(file)
    )
    return files


def test_bytes_are_checked_once_for_each_file(tmp_path, hashed):
    """When they are written; and where they have been copied to."""
    split, folder, copy = make_split(), tmp_path / "outputs", tmp_path / "copy"
    write(folder, split)
    assert len(hashed) == len(KEYS)
    hashed.clear()
    for _ in range(2):
        assert open_outputs(folder, KEYS, split, IDENTITY).arrays.keys() == KEYS
    assert not hashed
    shutil.copytree(folder, copy)  # with the times of the files: they are others all the same
    for _ in range(2):
        assert open_outputs(copy, KEYS, split, IDENTITY).arrays.keys() == KEYS
    assert len(hashed) == len(KEYS)
    hashed.clear()
    os.utime(folder / "hidden-3.npy")
    open_outputs(folder, KEYS, split, IDENTITY)
    assert hashed == ["hidden-3.npy"]


def test_a_change_right_after_the_array_was_written_is_seen(tmp_path, monkeypatch):
    """Faster than the clock of the file system ticks, and as large as what was there."""
    monkeypatch.setattr(manifests, "write_record", lambda path, record: None)
    file, array = tmp_path / "written", tmp_path / "hidden-3.npy"
    for _ in range(20):
        file.write_bytes(b"0")
        manifests.publish(file, array, IDENTITY)
        before = manifests._stamp(array)
        with array.open("r+b") as handle:
            handle.write(b"1")
        assert manifests._stamp(array) != before


@pytest.mark.parametrize("content", ["", "[]", '{"file": ["abc", 1, 2, 3]}'])
def test_a_damaged_record_of_the_check_costs_one_more(tmp_path, hashed, content):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    (folder / "hidden-3.verified.json").write_text(content)
    hashed.clear()
    for _ in range(2):
        assert open_outputs(folder, {("hidden", 3)}, split, IDENTITY).arrays
    assert hashed == ["hidden-3.npy"]


def test_results_that_cannot_be_written_to_are_checked_each_time(tmp_path, hashed, monkeypatch):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    (folder / "hidden-3.verified.json").unlink()
    hashed.clear()

    def read_only(path, record):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(manifests, "write_record", read_only)
    for _ in range(2):
        assert open_outputs(folder, {("hidden", 3)}, split, IDENTITY).arrays
    assert hashed == ["hidden-3.npy"] * 2


@pytest.mark.parametrize("other", ["removed", "made again"])
def test_two_runs_that_find_damage_at_once_end_in_a_sentence(tmp_path, monkeypatch, other):
    """What the other one has made again stays."""
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    file, checksum = folder / "hidden-3.npy", manifests._checksum
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])

    def meanwhile(path):
        found = checksum(path)
        monkeypatch.setattr(manifests, "_checksum", checksum)
        manifests.remove(path)
        if other == "made again":
            write(folder, split, {("hidden", 3)})
        return found

    monkeypatch.setattr(manifests, "_checksum", meanwhile)
    with pytest.raises(UserError, match=r"hidden-3.npy: damaged"):
        open_outputs(folder, {("hidden", 3)}, split, IDENTITY)
    stored = open_outputs(folder, {("hidden", 3)}, split, IDENTITY).arrays
    assert len(stored) == (other == "made again")


@pytest.mark.parametrize("name", ["hidden-3.npy", "hidden-3.json", "hidden-3.verified.json"])
def test_a_writer_that_dies_leaves_no_array_of_another_teacher(tmp_path, monkeypatch, name):
    """New bytes are never behind the manifest of the old ones, nor the reverse."""
    split, folder, keys = make_split(), tmp_path / "outputs", {("hidden", 3), ("logits", 0)}
    write(folder, split, keys)
    new = {**IDENTITY, "teacher": "xyz"}
    record, replace = manifests.write_record, Path.replace

    def written(path, value):
        if path.name == name:
            raise KeyboardInterrupt
        record(path, value)

    def renamed(path, target):
        if Path(target).name == name:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(manifests, "write_record", written)
    monkeypatch.setattr(Path, "replace", renamed)
    with pytest.raises(KeyboardInterrupt):
        write(folder, split, keys, new, seed=2)
    monkeypatch.undo()
    for identity in (IDENTITY, new):
        assert ("hidden", 3) in missing_outputs(folder, keys, identity)
        assert ("hidden", 3) not in open_outputs(folder, keys, split, identity).arrays


def test_a_teacher_computes_in_the_precision_of_its_weights(tmp_path):
    """Stored or not, whatever the precision of what surrounds it."""
    split = make_split()
    rows = torch.tensor([5, 6, 64])
    inputs = model_inputs(split.batch(rows))
    teacher = write(tmp_path / "plain", split)
    with TeacherFeatures(KEYS, None, teacher, CPU) as teacher_features:
        plain = teacher_features(rows, inputs, START)
        with torch.autocast("cpu", torch.bfloat16):
            assert (teacher(**inputs).logits - plain["logits", 0]).abs().max() > 1e-3, "it matters"
            within = teacher_features(rows, inputs, START)
    for key, value in plain.items():
        assert value.dtype == torch.float32 and torch.equal(value, within[key]), key
    with torch.autocast("cpu", torch.bfloat16):
        write(tmp_path / "within", split)
    for array in sorted((tmp_path / "plain").glob("*.npy")):
        assert array.read_bytes() == (tmp_path / "within" / array.name).read_bytes(), array.name


def test_features_that_are_large_are_computed_a_few_examples_at_once(tmp_path, monkeypatch):
    split = make_split()
    example = 4 * len(captured(KEYS)) * int(split.lengths.max()) * SHAPE.hidden
    monkeypatch.setattr(store, "_AT_ONCE", 5 * example - 1)
    sizes, batch = [], Split.batch
    monkeypatch.setattr(
        Split, "batch", lambda self, rows: sizes.append(len(rows)) or batch(self, rows)
    )
    write(tmp_path / "outputs", split)
    assert max(sizes) == 4 and sum(sizes) == len(split)


def test_where_memory_runs_out_fewer_examples_are_stored_at_once(tmp_path, monkeypatch, capsys):
    split, forward = make_split(), Capture.__call__

    def limited(self, **inputs):
        if len(inputs["input_ids"]) > 20:
            raise torch.OutOfMemoryError
        return forward(self, **inputs)

    write(tmp_path / "whole", split)
    monkeypatch.setattr(Capture, "__call__", limited)
    write(tmp_path / "parts", split)
    assert "stored with 16 examples at once" in capsys.readouterr().out
    rows = torch.arange(len(split))
    whole, parts = (
        open_outputs(tmp_path / name, KEYS, split, IDENTITY).batch(rows)
        for name in ("whole", "parts")
    )
    for key in KEYS:
        assert torch.allclose(whole[key].float(), parts[key].float(), rtol=1e-2, atol=1e-3), key


def test_an_array_without_manifest_is_not_there(tmp_path):
    """Killed between the two."""
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    (folder / "hidden-3.json").unlink()
    assert not open_outputs(folder, KEYS, split, IDENTITY).arrays


def test_a_damaged_manifest_is_a_sentence(tmp_path):
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("logits", 0)})
    for text in ("", "[]", '{"version": 1}'):
        (folder / "logits.json").write_text(text)
        with pytest.raises(UserError, match=r"logits\.json"):
            open_outputs(folder, KEYS, split, IDENTITY)
        assert ("logits", 0) in missing_outputs(folder, KEYS, IDENTITY), "not made anew"


def test_an_array_that_is_half_removed_is_not_there(tmp_path, monkeypatch):
    """Killed after the first of its files: another teacher's bytes must find no manifest."""
    split, folder = make_split(), tmp_path / "outputs"
    write(folder, split, {("hidden", 3)})
    unlink = Path.unlink

    def once(path, **more):
        unlink(path, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "unlink", once)
        manifests.remove(folder / "hidden-3.npy")
    assert not (folder / "hidden-3.json").exists()


def test_values_beyond_half_precision_are_refused_and_leave_nothing(tmp_path):
    split, folder = make_split(), tmp_path / "outputs"
    teacher = tiny_model(seed=1)
    with torch.no_grad():
        teacher.bert.encoder.layer[-1].output.LayerNorm.weight.fill_(1e6)
    progress = Progress(tmp_path / "state", "test")
    with pytest.raises(UserError, match="hidden-3: not finite in float16"):
        write_outputs(folder, {("hidden", SHAPE.layers)}, teacher, split, IDENTITY, CPU, progress)
    assert not list(folder.iterdir())


def test_an_array_of_another_version_is_made_again(tmp_path, monkeypatch):
    split, folder = make_split(), tmp_path / "outputs"
    with monkeypatch.context() as patch:
        patch.setattr(manifests, "VERSION", manifests.VERSION - 1)
        write(folder, split, {("cls", 2)})
        assert not missing_outputs(folder, {("cls", 2)}, IDENTITY)
    assert missing_outputs(folder, {("cls", 2)}, IDENTITY) == {("cls", 2)}
    assert not open_outputs(folder, {("cls", 2)}, split, IDENTITY).arrays


def test_a_manifest_names_what_the_array_is_made_of(tmp_path):
    write(tmp_path / "outputs", make_split(), {("cls", 2)})
    manifest = json.loads((tmp_path / "outputs/cls-2.json").read_text())
    assert manifest.keys() >= {"version", "teacher", "tokens", "checksum"}


@pytest.mark.parametrize("stored", [KEYS, set(), {("hidden", 3), ("logits", 0), ("query", 2)}])
def test_teacher_features_are_the_same_from_the_store_and_without(tmp_path, stored):
    split, folder = make_split(), tmp_path / "outputs"
    teacher = write(folder, split, stored) if stored else tiny_model(seed=1, labels=3).eval()
    opened = open_outputs(folder, stored, split, IDENTITY)
    rows = torch.tensor([5, 6, 64])
    batch = split.batch(rows)
    mask = batch["attention_mask"].bool()
    with TeacherFeatures(
        KEYS, opened, teacher if stored != KEYS else None, CPU
    ) as teacher_features:
        found = teacher_features(rows, model_inputs(batch), START)
    for name, layer in KEYS:
        wanted = (name, layer) if (name, layer) in found else ("hidden", layer)
        assert wanted in found, f"{name_of((name, layer))} is missing"
    with Capture(teacher, {("hidden", 3)}) as capture:
        live = capture_teacher(capture, **model_inputs(batch))["hidden", 3]
    torch.testing.assert_close(found["hidden", 3][mask].float(), live[mask], rtol=1e-3, atol=1e-3)


def test_no_teacher_runs_where_all_is_stored(tmp_path):
    split = make_split()
    write(tmp_path / "outputs", split)
    opened = open_outputs(tmp_path / "outputs", KEYS, split, IDENTITY)
    assert TeacherFeatures(KEYS, opened, None, CPU).capture is None


def test_a_teacher_in_training_draws_by_seed_and_step_alone(tmp_path):
    split = make_split()
    rows = torch.tensor([5, 6, 64])
    inputs = model_inputs(split.batch(rows))
    teacher = tiny_model(seed=1, labels=3, hidden_dropout_prob=0.3)
    with TeacherFeatures({("logits", 0)}, None, teacher, CPU, trains=True) as teacher_features:
        drawn = [
            teacher_features(rows, inputs, Moment(step, 10, 0, seed))["logits", 0]
            for step, seed in ((0, 1), (0, 2), (1, 1), (1, 2), (0, 1))
        ]
    assert torch.equal(drawn[0], drawn[-1])
    for one, two in itertools.combinations(drawn[:-1], 2):
        assert not torch.allclose(one, two, rtol=1e-3)


def test_a_teacher_that_has_taught_has_no_hooks_left(tmp_path):
    teacher = tiny_model(seed=1, labels=3)
    with TeacherFeatures({("hidden", 2), ("query", 2)}, None, teacher, CPU):
        assert any(m._forward_pre_hooks for m in teacher.modules())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in teacher.modules())
