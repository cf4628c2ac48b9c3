"""Digests of large files: right always, and read once."""

import json
import multiprocessing
import os
import time

import pytest

from kd.runtime import digests
from kd.runtime.digests import VARIABLE, cache_folder, cached_file_digest
from kd.runtime.hashes import file_digest


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """The files whose content was read; the cache is a new folder."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    found, real = [], digests.content_digest
    monkeypatch.setattr(digests, "content_digest", lambda path: found.append(path) or real(path))
    return found


def old_file(path, content=b"weights"):
    """A file that was not written just now: one as fresh as that may change unseen."""
    path.write_bytes(content)
    while time.time_ns() - path.stat().st_ctime_ns <= digests._FRESH:
        pass
    return path


def test_a_file_is_read_once(tmp_path, reads):
    files = [old_file(tmp_path / name) for name in ("a", "b")]
    expected = file_digest(*files)
    assert [cached_file_digest(*files) for _ in range(3)] == [expected] * 3
    assert reads == files


def test_a_changed_file_is_read_again(tmp_path, reads):
    """Same size, and the time of its modification set back."""
    path = old_file(tmp_path / "a", b"one")
    cached_file_digest(path)
    stat = path.stat()
    old_file(path, b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cached_file_digest(path) == file_digest(path)
    replaced = old_file(tmp_path / "b", b"six")
    os.utime(replaced, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    replaced.replace(path)
    assert cached_file_digest(path) == file_digest(path)
    assert reads == [path] * 3


def test_a_file_that_was_just_written_is_not_remembered(tmp_path, reads, monkeypatch):
    """Within the clock's resolution it could be written again and show the same time."""
    path = tmp_path / "a"
    path.write_bytes(b"one")
    monkeypatch.setattr(digests.time, "time_ns", lambda: path.stat().st_ctime_ns)
    cached_file_digest(path)
    cached_file_digest(path)
    assert reads == [path] * 2


def test_a_link_is_the_file_that_it_leads_to(tmp_path, reads):
    one, two = old_file(tmp_path / "one", b"1"), old_file(tmp_path / "two", b"2")
    link = tmp_path / "link"
    for target in (one, two):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert cached_file_digest(link) == file_digest(link)


@pytest.mark.parametrize("broken", [b"", b"[]", b"{", b'{"state": 1}', b"null", b"\xff"])
def test_a_broken_record_is_no_record(tmp_path, reads, broken):
    path = old_file(tmp_path / "a")
    cached_file_digest(path)
    (record,) = (tmp_path / "cache/digests").iterdir()
    whole = json.loads(record.read_bytes())
    for content in (broken, json.dumps({**whole, "sha256": "00"}).encode()):
        record.write_bytes(content)
        assert cached_file_digest(path) == file_digest(path)
    assert json.loads(record.read_bytes()) == whole, "it is written again"


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, reads, monkeypatch):
    path = old_file(tmp_path / "a")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    assert cached_file_digest(path) == cached_file_digest(path) == file_digest(path)


def test_where_the_cache_lies(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given, expected in (
        ("", tmp_path / ".cache/kd-grid"),
        ("relative", tmp_path / ".cache/kd-grid"),
        (str(tmp_path / "xdg"), tmp_path / "xdg/kd-grid"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache_folder() == expected
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


def test_many_processes_at_once(tmp_path, reads):
    path = old_file(tmp_path / "a", b"x" * 100_000)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = pool.map(cached_file_digest, [path] * 40)
    assert set(found) == {file_digest(path)}
    assert len(list((tmp_path / "cache/digests").iterdir())) == 1, "something was left"
