"""Whether the installed packages have the versions of the lock.

`python .ci/lock.py LOCK` prints those that differ; then its exit status is 1. A package that is not
installed (an extra) or not in the lock (a library of a CUDA build of torch) is no difference.
`make lint` asks, the tests do not: with a newer version they may well pass.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path


def main(lock: Path) -> int:
    """Print the differences; the exit status."""
    installed = {_canonical(d.metadata["Name"]): d.version for d in distributions()}
    found = differences(lock.read_text(encoding="utf-8"), installed)
    print("\n".join(found) or f"what is installed is {lock}")
    return int(bool(found))


def differences(lock: str, installed: Mapping[str, str]) -> list[str]:
    """A line for each package that is installed in another version than the lock's, without
    torch's build tag (+cpu); `installed` has canonical names."""
    lines = (line.split("==") for line in lock.splitlines() if line and not line.startswith("#"))
    pinned = {_canonical(name): pin for name, pin in lines}
    found = {name: installed[name].split("+")[0] for name in pinned if name in installed}
    return [
        f"{name}: {pinned[name]} in the lock, {version} installed"
        for name, version in found.items()
        if version != pinned[name]
    ]


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
