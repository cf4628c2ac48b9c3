"""Files and folders appear whole or not at all."""

import subprocess
import sys
import textwrap
import threading

import pytest

from kd.runtime.files import atomic_dir, atomic_write, leftovers, remove_leftovers


def written(path, text="content"):
    with atomic_dir(path) as folder:
        (folder / "a.txt").write_text(text)
        (folder / "deep").mkdir()
        (folder / "deep/b.txt").write_text(text)
    return path


def test_a_folder_takes_the_place_of_another_and_of_a_file(tmp_path):
    (tmp_path / "f").write_text("a file")
    for text in ("one", "two"):
        assert (written(tmp_path / "f", text) / "a.txt").read_text() == text
    assert [p.name for p in tmp_path.iterdir()] == ["f"], "something was left beside it"


def test_of_many_writers_at_once_one_stays_whole(tmp_path):
    errors = []

    def write(number):
        try:
            for _ in range(15):
                written(tmp_path / "f", str(number))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len({p.read_text() for p in (tmp_path / "f").rglob("*.txt")}) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_an_error_leaves_what_was_there(tmp_path):
    folder = written(tmp_path / "f", "old")
    with pytest.raises(OSError), atomic_dir(folder) as new:
        (new / "a.txt").write_text("new")
        raise OSError("disk full")
    assert (folder / "a.txt").read_text() == "old"
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
