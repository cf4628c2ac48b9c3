"""What a test needs, and what a session says of the tests that did not find it."""

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from browser import CHROMIUM
from huggingface_hub.constants import ENDPOINT
from hypothesis import HealthCheck, settings

# One thread a process: the workers of one session, and the jobs that they start, share the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No digest of a test's files is kept among those of the user.
os.environ.setdefault("KD_CACHE_DIR", os.devnull)
# A shell lets what it starts in the background ignore ctrl-C, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says how busy the machine is, no more.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Puts up a SLURM cluster; it is no part of the project.
SLURM_UP = Path(
    os.environ.get("KD_SLURM_UP", Path(__file__).parents[2] / "shared/tools/slurm-up.sh")
)


def _slurm_is_missing() -> str:
    if os.getuid():
        return "to put up a SLURM cluster takes root"
    return "" if SLURM_UP.is_file() else "no script that puts up a SLURM cluster (KD_SLURM_UP)"


def _sge_is_missing() -> str:
    if os.getuid():
        return "to put up a Grid Engine takes root"
    if not shutil.which("qsub") or not Path("/usr/sbin/sge_qmaster").exists():
        return "no Grid Engine (Debian: gridengine-master, gridengine-exec, gridengine-client)"
    plugin = find_spec("snakemake_executor_plugin_cluster_generic")
    return "" if plugin else "no snakemake-executor-plugin-cluster-generic (pip install '.[sge]')"


def _store_is_missing() -> str:
    """What jobs without a shared folder need, and the S3 server that the test starts."""
    modules = {
        "snakemake_storage_plugin_s3": "snakemake-storage-plugin-s3",
        "snakemake_executor_plugin_cluster_generic": "snakemake-executor-plugin-cluster-generic",
        "moto": "moto[server]",
    }
    lacking = [package for module, package in modules.items() if find_spec(module) is None]
    return f"{', '.join(lacking)}: not installed" if lacking else ""


def _peers_are_missing() -> str:
    lacking = [name for name in ("textbrewer", "torchdistill") if find_spec(name) is None]
    return f"{', '.join(lacking)}: not installed (make peers)" if lacking else ""


def _gpu_is_missing() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no GPU that torch can use (make gpu)"


def _hub_is_missing() -> str:
    """Asked once: a library would try each model again and again."""
    try:
        urlopen(ENDPOINT, timeout=10).close()
    except OSError as error:
        return f"{ENDPOINT}: cannot be reached ({getattr(error, 'reason', error)})"
    return ""


# Marker: why a test with it cannot run here; empty where it can.
NEEDS: dict[str, Callable[[], str]] = {
    "slow": lambda: "",
    "network": cache(_hub_is_missing),
    "slurm": cache(_slurm_is_missing),
    "sge": cache(_sge_is_missing),
    "store": cache(_store_is_missing),
    "root": lambda: "takes root (a mount, another user)" if os.getuid() else "",
    "gpu": cache(_gpu_is_missing),
    "peers": cache(_peers_are_missing),
    "latex": lambda: "" if shutil.which("pdflatex") else "no LaTeX (pdflatex)",
    "browser": lambda: "" if CHROMIUM else "no Chromium",
}
ASKED = ("slow", "slurm", "sge", "store", "network")  # only with --all
# Files that take more than ten seconds, the longest first (test_slurm.py only with --all).
LONG = (
    *("test_workflow.py", "test_slurm.py", "test_steps.py", "test_heads.py", "test_draw.py"),
    *("test_kills.py", "test_record.py", "test_advice.py", "test_report.py", "test_hooks.py"),
    *("test_submission.py", "test_disk.py"),
)


@pytest.fixture(autouse=True)
def _without_hub(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the hub about a model, unless it is marked so."""
    if request.node.get_closest_marker("network") is None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--all`, which `make test-all` gives."""
    parser.addoption("--all", action="store_true", help=f"run these too: {', '.join(ASKED)}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what cannot run here, or was not asked for; the long files first.

    A file is one worker's. One that began last would keep it busy while the others have no more
    to do.
    """
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))
    for item in items:
        if "browser" in item.fixturenames:  # type: ignore[attr-defined]
            item.add_marker("browser")
        for name in NEEDS.keys() & {marker.name for marker in item.iter_markers()}:
            if name in ASKED and not config.getoption("--all"):
                reason = f"{name}: make test-all runs it"
            else:
                reason = NEEDS[name]()
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many tests were skipped, by reason."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    terminalreporter.section(f"{len(skipped)} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count:5}  {reason}")
