"""What a command prints reaches the reader, whatever its caller's environment is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kd.cli.main import main
from kd.runtime import console
from kd.runtime.console import own_console

FULL = Path("/dev/full")
# A notebook's, a small container's, a strict old server's.
HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "HOME": "/proc/nowhere",
    "TMPDIR": "/proc/nowhere",
    "HF_HOME": "/proc/nowhere",
    "XDG_CACHE_HOME": "/proc/nowhere",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONPATH": "/proc/nowhere",
    "PYTHONSTARTUP": "/proc/nowhere.py",
    "PYTHONOPTIMIZE": "2",
    "COLUMNS": "5",
    "NO_COLOR": "1",
}
_PRINT = r"""
import sys
from kd.cli import drawing
from kd.cli import main as cli
def act(options):
    print("87.8 \xb1 1.6 \udcff")
    import matplotlib, tempfile
    print(matplotlib.get_backend(), tempfile.gettempdir() != "/proc/nowhere")
    raise cli.UserError("\u03b1 is too large")
drawing._figures = act
sys.exit(cli.main(["figures", "config/studies/demo.yaml"]))
"""


def test_output_is_utf8_and_nothing_of_the_callers_environment_ends_a_command():
    run = subprocess.run(
        [sys.executable, "-c", _PRINT], capture_output=True, env={**os.environ, **HOSTILE}
    )
    assert run.stdout.decode() == "87.8 ± 1.6 \\udcff\nagg True\n", run.stderr.decode()
    assert run.stderr.decode().splitlines()[-1] == "error: α is too large"
    assert run.returncode == 2


@pytest.fixture
def to_file(tmp_path, monkeypatch):
    """stdout as a shell's `> log` has it."""
    with (tmp_path / "log").open("w") as handle:
        monkeypatch.setattr(sys, "stdout", handle)
        yield tmp_path / "log"


def test_a_log_without_room_ends_nothing(to_file, monkeypatch):
    """What finds room again is written again."""
    written, full = [], True

    def write(file, data):
        if full:
            raise OSError(28, "No space left on device")
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(console._Lossy, "_write", write)
    with own_console():
        print("distilling: 1/90", flush=True)
        full = False
        print("distilling: 2/90", flush=True)
    assert written == [b"distilling: 2/90\n"]


def test_another_trouble_with_the_log_is_not_hidden(to_file, monkeypatch):
    def write(file, data):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(console._Lossy, "_write", write)
    with own_console():
        with pytest.raises(OSError, match="Input/output error"):
            print("distilling", flush=True)
        monkeypatch.undo()


def test_output_that_is_no_file_stays_as_it_is(monkeypatch, capsys):
    before = sys.stdout
    monkeypatch.setattr(sys, "stderr", None)  # closed by the caller
    with own_console():
        assert sys.stdout is before and sys.stderr is None
    assert main(["shapes", "tinybert4"]) == 0
    assert "tinybert4" in capsys.readouterr().out


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")
def test_an_answer_that_its_disk_has_no_room_for_is_an_error():
    """`kd axes --markdown > FILE`: half a file must not look like the whole."""
    command = [sys.executable, "-m", "kd", "axes", "--markdown"]
    with FULL.open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: the output is not whole: its disk is full\n"
