"""Commands as another user. Only root can become one."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest


def become(user: int, group: int, *, umask: str = "022", reads_all: bool = False) -> list[str]:
    """What to put before a command: this user and group, and where wanted the right to read
    everything, since the Python of the tests may be in root's home.
    """
    if not (tool := shutil.which("setpriv")):
        pytest.skip("no setpriv (util-linux)")
    rights = "-all,+dac_read_search" if reads_all else "-all"
    command = [tool, f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    command += [f"--inh-caps={rights}"] + ([f"--ambient-caps={rights}"] if reads_all else [])
    return [*command, "sh", "-c", f'umask {umask}; exec "$@"', "sh"]


def give(folder: Path, user: int, group: int, mode: int = 0o755) -> Path:
    """Make a folder of this user, with what is in it, and let all users into those above it."""
    folder.mkdir(exist_ok=True)
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, user, group)
    folder.chmod(mode)
    for above in folder.parents:
        if above.is_relative_to(tempfile.gettempdir()):
            above.chmod(above.stat().st_mode | 0o005)
    return folder
