"""A truncated or bit-flipped artefact of each kind is refused, set aside and made again."""

import random
import shutil

import pytest
from faults import TIMES, Place, prepare, snakemake, status, write
from slow import slow

from kd.monitor.collect import collect
from kd.runtime.errors import UserError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return Place(write(folder, axes={"seed": [1]})).make()


# Name of the artefact: (its path, the step that reads it).
KINDS = {
    "text": (lambda p: p.text / "train.parquet", "tokenise"),
    "text manifest": (lambda p: p.text / "manifest.json", "tokenise"),
    "tokens": (lambda p: p.tokens / "train.safetensors", "distil"),
    "tokens manifest": (lambda p: p.tokens / "manifest.json", "distil"),
    "config": (lambda p: p.tokens / "config.json", "distil"),
    "tokenizer": (lambda p: p.tokens / "tokenizer.json", "distil"),
    "seal": (lambda p: p.tokens / "checksums.json", "distil"),
    "teacher": (lambda p: p.teacher / "model/model.safetensors", "outputs"),
    "teacher config": (lambda p: p.teacher / "model/config.json", "outputs"),
    "teacher metrics": (lambda p: p.teacher / "metrics.json", "distil"),
    "stored outputs": (lambda p: p.layout.need(p.run).parent / "logits.npy", "distil"),
    "outputs manifest": (lambda p: p.layout.need(p.run).parent / "logits.json", "distil"),
    "student": (lambda p: p.folder / "model/model.safetensors", "evaluate"),
    "training record": (lambda p: p.folder / "training.json", "evaluate"),
    "metrics": (lambda p: p.folder / "metrics.json", "collect"),
}


def truncated(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def flipped(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


@pytest.mark.parametrize("harm", [truncated, *slow(flipped)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_damaged_is_refused_and_made_again(whole, tmp_path, kind, harm):
    path_of, reader = KINDS[kind]
    draw = random.Random(f"{kind} {harm.__name__}")
    refused = 0
    for number in range(max(1, TIMES // 2)):
        folder = tmp_path / str(number)
        place = whole.copy(folder)
        path = path_of(place)
        path.write_bytes(harm(path.read_bytes(), draw))
        for output in place.outputs().get(reader, []):  # the reader is to run again
            shutil.rmtree(output) if output.is_dir() else output.unlink()
        if reader == "outputs":  # which reads a teacher only for what is not stored
            shutil.rmtree(place.layout.need(place.run).parent)

        if reader == "collect":
            collect(place.grid, place.layout, folder / "runs.csv")
            refused += "failed" in (folder / "runs.csv").read_text()
        else:
            try:
                place.makers()[reader]()
            except UserError as error:
                assert "damaged" in str(error), error
                refused += 1
        # Else: the bit meant nothing, or what it stood for was made anew. The numbers say.
        place.make()
        assert place.numbers() == whole.numbers()
        place.assert_tidy()
        shutil.rmtree(folder)
    # A flipped bit of a record's layout is no damage; whole files are sealed byte by byte.
    if harm is truncated or path.suffix in (".safetensors", ".npy", ".parquet"):
        assert refused == max(1, TIMES // 2)


def test_a_study_with_a_damaged_run_is_collected_with_the_others(tmp_path):
    place = prepare(tmp_path, train=96, epochs=1).finish_runs()
    path = place.folder / "metrics.json"
    path.write_bytes(path.read_bytes()[:-20])
    counts = collect(place.grid, place.layout, tmp_path / "runs.csv")
    assert (counts["done"], counts["failed"]) == (1, 1)
    assert "damaged" in (tmp_path / "runs.csv").read_text()
    place.make("evaluate")
    assert collect(place.grid, place.layout, tmp_path / "again.csv")["done"] == 2


@pytest.mark.slow
def test_what_is_damaged_stops_only_what_reads_it(tmp_path):
    """A head that finds an input gone ends at once, with every job that runs."""
    place = Place(write(tmp_path, axes={"task": ["toy-single", "toy-pair"], "seed": [1, 2]}))
    place.make("data", "tokenise")
    path = place.tokens / "train.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    head = snakemake(tmp_path, place.study, "--cores", "2")
    text = head.communicate()[0]
    assert head.returncode and "damaged (train.safetensors" in text
    counts = status(tmp_path, place.study)
    assert (counts["done"], counts["failed"]) == (2, 2), text
    head = snakemake(tmp_path, place.study, "--cores", "2", "--until", "evaluate")
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert status(tmp_path, place.study)["done"] == 4


@pytest.mark.slow
def test_the_next_start_makes_again_what_was_found_damaged(tmp_path):
    place = Place(write(tmp_path)).make("data")
    path = place.text / "train.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="damaged"):
        place.makers()["tokenise"]()
    arguments = ("--cores", "1", "--until", "data")
    for only in ("--dry-run", "--list-rules", "--summary"):
        looked = snakemake(tmp_path, place.study, *arguments, only)
        assert looked.wait() == 0 and path.read_bytes() == whole[:-1], f"{only} changes nothing"
    head = snakemake(tmp_path, place.study, *arguments)
    text = head.communicate()[0]
    assert head.returncode == 0, text
    assert "text: damaged; kept as text.damaged, and made again" in text
    assert path.read_bytes() == whole
    assert (path.parent.with_name("text.damaged") / path.name).read_bytes() == whole[:-1]
    assert not place.layout.marks()
