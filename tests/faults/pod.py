"""A stand-in for a cluster whose machines share nothing, for the executor plugin cluster-generic.

`submit JOBSCRIPT` starts a job in an empty folder that is removed when it ends, and prints its id.
`status ID` prints running, success or failed. `cancel ID...` ends jobs. KD_PODS names the folder of
it all. A job inherits no variable but those of `_PASSED`, and no working directory.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

PODS = Path(os.environ["KD_PODS"])
# What a container image and the secrets of a cluster would give.
_PASSED = ("PATH", "PYTHONPATH", "LANG", "OMP_NUM_THREADS", "HF_HUB_OFFLINE", "KD_PODS")
_PREFIXES = ("SNAKEMAKE_STORAGE_", "KD_CHECKPOINT", "KD_TEST_")


def submit(script: str) -> None:
    """Start a job in a session of its own, as a machine would."""
    pod = Path(tempfile.mkdtemp(prefix="pod-", dir=PODS))
    shutil.copy(script, PODS / f"{pod.name}.sh")
    with (PODS / f"{pod.name}.log").open("w") as log:
        job = subprocess.Popen(
            [sys.executable, __file__, "run", pod.name],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (PODS / f"{pod.name}.pid").write_text(str(job.pid))
    print(pod.name)


def run(name: str) -> None:
    """What the machine does: the job, then the end of its folder."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in _PASSED or key.startswith(_PREFIXES)
    }
    pod = PODS / name
    done = subprocess.run(["sh", f"{pod}.sh"], cwd=pod, env={**kept, "HOME": str(pod)})
    shutil.rmtree(pod)
    (PODS / f"{name}.status").write_text("failed" if done.returncode else "success")


def status(name: str) -> None:
    """A machine that is gone has failed."""
    with suppress(FileNotFoundError):
        print((PODS / f"{name}.status").read_text())
        return
    pid = int((PODS / f"{name}.pid").read_text())
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        state = "Z"
    print("failed" if state == "Z" else "running")


def cancel(*names: str) -> None:
    """End all processes of some jobs."""
    for name in names:
        with suppress(ProcessLookupError):
            os.killpg(int((PODS / f"{name}.pid").read_text()), signal.SIGTERM)


if __name__ == "__main__":
    {"submit": submit, "run": run, "status": status, "cancel": cancel}[sys.argv[1]](*sys.argv[2:])
