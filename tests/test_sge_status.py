"""What Snakemake hears of a job of Grid Engine, from what qstat and qacct print."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path(__file__).parents[1] / "profiles/sge/status.py"
LISTED = """job-ID  prior   name  user  state submit/start at     queue       slots ja-task-ID
------------------------------------------------------------------------------
     12 0.50000 kd    root  {state}     11/26/2026 07:40:59 short.q@vm  1
    112 0.50000 kd    root  r     11/26/2026 07:40:59 short.q@vm  1
"""
END = "=====\njobnumber    12\nfailed       {failed}\nexit_status  {status}\n"


@pytest.fixture
def ask(tmp_path):
    """The answer about job 12, where qstat and qacct print these texts, or fail for None."""

    def asked(qstat, qacct):
        for name, text in (("qstat", qstat), ("qacct", qacct)):
            program = tmp_path / name
            body = "exit 1" if text is None else f"cat <<'END'\n{text}\nEND"
            program.write_text(f"#!/bin/sh\n{body}\n")
            program.chmod(0o755)
        return subprocess.run(
            [sys.executable, STATUS, "12"],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    return asked


@pytest.mark.parametrize(
    ("state", "answer"),
    [("r", "running"), ("qw", "running"), ("Rq", "running"), ("Eqw", "failed")],
)
def test_a_job_that_is_listed(ask, state, answer):
    assert ask(LISTED.format(state=state), None) == answer


@pytest.mark.parametrize(
    ("failed", "status", "answer"),
    [
        ("0", "0", "success"),
        ("0", "1", "failed"),
        ("100 : assumedly after job", "137                  (Killed)", "failed"),
        ("26  : opening input/output file", "0", "failed"),
    ],
)
def test_a_job_that_has_ended(ask, failed, status, answer):
    assert ask("", END.format(failed=failed, status=status)) == answer


def test_the_last_start_counts(ask):
    first = END.format(failed="25  : rescheduling", status="0")
    assert ask("", first + END.format(failed="0", status="0")) == "success"


@pytest.mark.parametrize("failed", ["25  : rescheduling", "19  : before writing exit_status"])
def test_a_job_that_was_queued_again_has_not_ended_with_that(ask, tmp_path, failed):
    """The entry of the start that was lost comes first, that of the last some seconds later."""
    assert ask("", END.format(failed=failed, status="0")) == "running"
    os.utime(tmp_path / ".snakemake/sge_missing/12", (0, 0))
    assert ask("", END.format(failed=failed, status="0")) == "failed", "no other entry came"


def test_a_master_that_does_not_answer_ends_no_job(ask):
    assert ask(None, None) == "running"


def test_accounts_may_come_later_but_not_for_ever(ask, tmp_path):
    assert ask("", None) == "running"
    (seen,) = (tmp_path / ".snakemake/sge_missing").iterdir()
    os.utime(seen, (0, 0))
    assert ask("", None) == "failed"
