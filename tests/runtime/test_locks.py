"""One process at a time holds a lock, and the next waits until it is dead."""

import os
import subprocess
import sys
import textwrap

from kd.runtime.locks import only_one

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
