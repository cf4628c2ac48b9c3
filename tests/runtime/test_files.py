"""Files appear whole or not at all; what is damaged is found out, marked, and set aside later."""

import os
import subprocess
import sys
import textwrap
import threading

import pytest

from kd.runtime.errors import UserError
from kd.runtime.files import atomic_write, leftovers, remove_leftovers
from kd.runtime.locks import only_one
from kd.runtime.seals import (
    MARK,
    SEAL,
    check_seal,
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


# --- folders ------------------------------------------------------------------------------------


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


def test_a_folder_takes_the_place_of_another_and_of_a_file(tmp_path):
    (tmp_path / "f").write_text("a file")
    for text in ("one", "two"):
        assert (sealed(tmp_path / "f", text) / "a.txt").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["f"], "something was left beside it"


def test_of_many_writers_at_once_one_stays_whole(tmp_path):
    errors = []

    def write(number):
        try:
            for _ in range(15):
                sealed(tmp_path / "f", str(number))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert check_seal(tmp_path / "f")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_an_error_leaves_what_was_there(tmp_path):
    folder = sealed(tmp_path / "f", "old")
    with pytest.raises(OSError), sealed_dir(folder) as new:
        (new / "a.txt").write_text("new")
        raise OSError("disk full")
    assert (check_seal(folder) / "a.txt").read_text() == "old"
    assert not leftovers(tmp_path)


def test_what_a_kill_left_is_removed(tmp_path):
    code = f"""
        import os, sys
        from pathlib import Path
        from kd.runtime.files import atomic_dir
        with atomic_dir(Path({str(tmp_path)!r}) / "f"):
            os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)])
    (tmp_path / ".file.0.tmp").write_text("half")
    atomic_write(tmp_path / "mine", "whole")
    assert len(leftovers(tmp_path)) == 2
    remove_leftovers(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


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


# --- locks --------------------------------------------------------------------------------------

HOLDER = """
    import sys
    from pathlib import Path
    from kd.runtime.locks import only_one
    from kd.runtime.seals import sealed_dir
    with only_one(Path(sys.argv[1]), lambda owner: None):
        print("held", flush=True)
        sys.stdin.read()  # until the test kills it
"""


def test_the_second_waits_until_the_first_is_dead(tmp_path):
    path = tmp_path / "lock"
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen(command, text=True, **pipes)
    assert holder.stdout.readline() == "held\n"
    owners = []

    def waiting(owner):
        owners.append(owner)
        holder.kill()

    with only_one(path, waiting) as waited:
        assert waited
    assert f"process {holder.pid}" in owners[0]
    holder.wait()
    with only_one(path, waiting) as waited:
        assert not waited
        assert path.read_text().endswith(f"process {os.getpid()}\n")


def test_a_file_system_without_locks_gives_none(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    with only_one(tmp_path / "lock", print) as waited:
        assert not waited
