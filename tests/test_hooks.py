"""How Snakemake ends: by ctrl-C, with a failure, with what was asked for."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The hooks of the workflow, around rules that take no time. The job of `blocks` says that it runs,
# and ends as a step does that was asked to: with its state saved and exit status 75.
SNAKEFILE = f"""
import sys
from pathlib import Path
FOLDER, STUDY, DRAW_ONLY, IN_STORE = Path("."), Path("study.yaml"), False, False
include: "{ROOT}/workflow/signals.smk"
include: "{ROOT}/workflow/end.smk"
rule report:
    input: "part.txt"
    output: "report.html"
    shell: "echo drawn > {{output}}"
rule part:
    output: "part.txt"
    shell: "echo part > {{output}}"
rule blocks:
    output: "blocked.txt"
    shell: "{sys.executable} job.py"
rule fails:
    output: "failed.txt"
    log: "fails.log"
    shell: "(echo step 1; echo 'error: what is wrong'; echo) > {{log}}; exit 3"
rule drawing_a_failure:
    input: "failed.txt", "report.html"
    output: "all.txt"
    shell: "exit 3"
"""
JOB = """
import signal, sys
def end(number, frame):
    with open("saved.txt", "w") as handle:
        handle.write(f"state at {signal.Signals(number).name}")
    sys.exit(75)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, end)
with open("running", "w") as handle:  # a pipe: the test waits for it
    handle.write("yes")
while True:
    signal.pause()
"""
# A stand-in for `python -m kd STEP STUDY`, which draws after a failure.
KD = "import sys\nprint('step', sys.argv[1], file=sys.stderr)\n"


@pytest.fixture
def start(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "job.py").write_text(JOB)
    (tmp_path / "kd.py").write_text(KD)
    os.mkfifo(tmp_path / "running")

    def start(*arguments, ctrl_c=signal.SIG_DFL):
        return subprocess.Popen(
            [Path(sys.executable).parent / "snakemake", "--cores", "2", *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, ctrl_c),
        )

    return start


def test_ctrl_c_is_one_calm_sentence_and_draws_nothing(start, tmp_path):
    run = start("blocks", "report", "--retries", "2", "--keep-going", "--show-failed-logs")
    with (tmp_path / "running").open() as pipe:
        assert pipe.read() == "yes"
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of the group
    out, err = run.communicate()
    assert run.returncode == 130, err
    after = err.partition("Stopping.")
    assert after[1] and len(after[2].strip().splitlines()) == 1, err
    assert "Error" not in err and "None" not in err and "Traceback" not in err
    assert "step collect" not in err and "Done" not in out
    assert (tmp_path / "saved.txt").read_text() == "state at SIGINT"
    assert not list((tmp_path / ".snakemake/locks").glob("*")), "the next start would be refused"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_job_of_a_cluster_passes_on_what_asks_it_to_end(start, tmp_path, number):
    """SLURM asks the first process of a job alone, which is Snakemake."""
    run = start("--mode", "remote", "--target-jobs", "blocks:", "--nolock")
    with (tmp_path / "running").open() as pipe:
        assert pipe.read() == "yes"
    os.kill(run.pid, number)
    _, err = run.communicate()
    assert run.returncode == 1, err
    assert (tmp_path / "saved.txt").read_text() == f"state at {number.name}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report"], ["Done: report.html"]),
        (["report", "--until", "part"], ["Done: part.txt"]),
        pytest.param(["part"], ["Done: part.txt"], marks=pytest.mark.slow),
        (["report", "--dry-run"], []),
    ],
)
def test_done_is_said_of_what_is_there(start, arguments, said):
    run = start(*arguments)
    out, err = run.communicate()
    assert run.returncode == 0, err
    assert "rule part:" in out + err and "no line in its log" not in out + err
    assert [line for line in out.splitlines() if "Done" in line] == said


@pytest.mark.slow
def test_after_a_failure_what_is_done_is_drawn_where_the_report_was_asked_for(start):
    steps = {}
    # The second as a script starts it in the background: there ctrl-C is ignored.
    for target, ctrl_c in (("drawing_a_failure", signal.SIG_DFL), ("fails", signal.SIG_IGN)):
        run = start(target, "--keep-going", ctrl_c=ctrl_c)
        _, err = run.communicate()
        assert run.returncode == 1
        assert "message: error: what is wrong\n" in err and "message: None" not in err
        steps[target] = [line for line in err.splitlines() if re.match(r"step \D", line)]
    drawn = [f"step {name}" for name in ("collect", "tables", "figures", "report", "guideline")]
    assert steps == {"drawing_a_failure": drawn, "fails": []}
    # Snakemake does not know how that was made, so it makes it again when it can.
    told = start("report", "--dry-run", "--rerun-incomplete").communicate()[0]
    assert "rule report:" in told and "rule part:" not in told
