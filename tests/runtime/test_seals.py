"""What is damaged is found, marked, and set aside later; a record comes back as it was written."""

import errno

import pytest

from kd.runtime import seals
from kd.runtime.errors import Transient, UserError
from kd.runtime.seals import (
    MARK,
    SEAL,
    check_seal,
    is_whole,
    read_record,
    sealed_dir,
    set_aside,
    write_record,
)


def sealed(path, text="content"):
    with sealed_dir(path) as folder:
        (folder / "a.txt").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep/b.txt").write_text(text)
    return path


def test_a_folder_that_is_as_it_was_written_is_given_back(tmp_path):
    folder = sealed(tmp_path / "f")
    assert check_seal(folder) == folder
    (folder / ".snakemake_timestamp").touch()
    assert check_seal(folder) == folder, "what Snakemake adds is no damage"
    assert (folder / "a.txt").read_text() == "content"


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda f: (f / "a.txt").write_text("CONTENT"), "a.txt"),
        (lambda f: (f / "deep/b.txt").write_text(""), "deep/b.txt"),
        (lambda f: (f / "a.txt").unlink(), "a.txt"),
        (lambda f: (f / "c.txt").write_text("one more"), "c.txt"),
        (lambda f: (f / SEAL).unlink(), SEAL),
        (lambda f: (f / SEAL).write_text("{"), SEAL),
    ],
)
def test_whatever_is_damaged_is_refused_until_it_is_made_again(tmp_path, harm, named):
    folder, mark = sealed(tmp_path / "f"), tmp_path / f"f{MARK}"
    for _ in range(2):
        harm(folder)
        for _ in range(2):
            with pytest.raises(UserError, match=rf"f: damaged \({named}.*sets it aside"):
                check_seal(folder)
        assert folder.is_dir(), "a snakemake that runs would end, with all its jobs"
        assert set_aside(mark) == tmp_path / "f.damaged" and (tmp_path / "f.damaged").is_dir()
        assert not folder.exists() and not mark.exists()
        with pytest.raises(UserError, match="missing; the next start makes it"):
            check_seal(folder)
        assert check_seal(sealed(folder)), "it cannot be made again"


def test_a_mark_goes_with_what_it_stands_for(tmp_path):
    """Or the next start would set aside what is whole."""
    folder = sealed(tmp_path / "f")
    (folder / "a.txt").unlink()
    (tmp_path / "r.json").write_text("{")
    for read in (check_seal, read_record):
        with pytest.raises(UserError, match="damaged"):
            read(folder if read is check_seal else tmp_path / "r.json")
    assert len(list(tmp_path.glob(f"*{MARK}"))) == 2
    sealed(folder)
    write_record(tmp_path / "r.json", {})
    assert not list(tmp_path.glob(f"*{MARK}"))
    gone = tmp_path / f"gone{MARK}"
    gone.write_text("it was damaged; someone has deleted it")
    set_aside(gone)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "r.json"]


# --- records ------------------------------------------------------------------------------------


def test_a_record_comes_back(tmp_path):
    record = {"score": 0.1 + 0.2, "text": "é\n", "none": None, "deep": {"b": [1, 2.0], "a": True}}
    write_record(tmp_path / "r.json", record)
    assert read_record(tmp_path / "r.json", "score") == record


def test_no_bit_of_a_record_can_flip_unseen(tmp_path):
    path, record = tmp_path / "r.json", {"run": "a-1", "score": 0.8125, "steps": 12}
    write_record(path, record)
    content, tried = path.read_bytes(), 0
    for at in range(len(content)):
        for bit in range(8):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
            tried += 1
            try:
                found = read_record(path, "run", "score")
            except UserError as error:
                assert "damaged" in str(error)
            else:  # layout, or the name of the checksum itself
                assert {k: found[k] for k in record} == record, f"byte {at}, bit {bit}"
    assert tried > 500


def test_a_record_without_what_is_needed_is_damaged(tmp_path):
    write_record(tmp_path / "r.json", {"run": "a"})
    with pytest.raises(UserError, match=r"it lacks run, score.*sets it aside"):
        read_record(tmp_path / "r.json", "run", "score")


def test_what_could_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    folder = sealed(tmp_path / "f")

    def stale(path):
        raise OSError(errno.ESTALE, "Stale file handle")

    with monkeypatch.context() as patched, pytest.raises(Transient, match="Stale file handle"):
        patched.setattr(seals, "folder_digests", stale)
        check_seal(folder)
    assert not (tmp_path / f"f{MARK}").exists()
    assert is_whole(folder)
    (folder / "a.txt").write_text("changed")
    assert not is_whole(folder) and not is_whole(tmp_path / "no-folder")
