"""Known vulnerabilities of the locked dependencies, as far as pip-audit can reach its source.

`python .ci/audit.py FOLDER LOCK` installs pip-audit into an environment of its own, FOLDER, and
asks it. A vulnerability, or a lock that it cannot read, is exit status 1. Where its source does not
answer within the time limit, the audit is reported as skipped, with exit status 0.
"""

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LIMIT = 300  # seconds for each of the two steps
_UNREACHABLE = re.compile(
    r"requests\.exceptions|ConnectionError|ServiceError|[Cc]ould not connect|network|timed out"
)


def main(folder: Path, lock: Path) -> int:
    """Install pip-audit where it is missing, run it, print what it found; the exit status."""
    program = folder / "bin" / "pip-audit"
    try:
        if not program.is_file():
            venv.create(folder, with_pip=True)
            install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "pip-audit"]
            if subprocess.run(install, timeout=LIMIT).returncode:
                return _say("audit skipped: pip-audit could not be installed", 0)
        with tempfile.TemporaryDirectory() as temporary:
            report = Path(temporary) / "report.json"
            ask = [program, "--requirement", lock, "--no-deps", "--disable-pip", "--timeout", "15"]
            ask += ["--progress-spinner", "off", "--format", "json", "--output", report]
            asked = subprocess.run(ask, timeout=LIMIT, capture_output=True, text=True)
            found = json.loads(report.read_text()) if report.is_file() else None
    except subprocess.TimeoutExpired:
        return _say(f"audit skipped: no answer within {LIMIT} s", 0)
    return _say(*verdict(asked.stderr, found))


def verdict(errors: str, report: dict | None) -> tuple[str, int]:
    """What to say, and the exit status, from pip-audit's stderr and its JSON report, if any."""
    if report is None:
        last = (errors.strip().splitlines() or ["it wrote no report"])[-1]
        if _UNREACHABLE.search(errors):
            return f"audit skipped: pip-audit could not reach its source ({last})", 0
        return f"audit failed: {last}", 1
    rows = report["dependencies"]
    known = [row for row in rows if "vulns" in row]
    bad = [f"{row['name']} {row['version']}: {v['id']}" for row in known for v in row["vulns"]]
    if bad:
        return "\n".join(["known vulnerabilities:", *bad]), 1
    if not known:
        return f"audit skipped: pip-audit's source knows none of the {len(rows)} packages", 0
    return f"no known vulnerability in {len(known)} of {len(rows)} packages", 0


def _say(text: str, status: int) -> int:
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
