# What Snakemake prints and does at its end: after success, a failure, or ctrl-C.
import logging
import os
import re
import signal
import subprocess
import time

from snakemake.logging import logger

AFTER_A_FAILURE = ("collect", "tables", "figures", "report", "guideline")
STOPPED = []  # the signal that asked Snakemake to end
ASKED_TO_STOP = re.compile(r"exit status (75|130)\b|Signals\.SIGINT")


def stop(number, frame):
    """Ctrl-C: the jobs have got it too; trainings save their state and end.

    Snakemake waits for them as after its own KeyboardInterrupt. What it would say of each of them
    (an error, its log, a traceback) is left out. A second ctrl-C is for the jobs: they end at once.
    """
    if STOPPED:
        return
    STOPPED.append(number)
    print(
        "\nStopping. What is done is kept, trainings save their state: the same command goes on.",
        file=sys.stderr,
    )
    sys.exit(130)


def wanted(record):
    """Whether to log this: a job may have heard of ctrl-C, and have ended, before Snakemake did.

    The error of a job gets the last line of its log, in place of Snakemake's `message: None`.
    """
    if ASKED_TO_STOP.search(record.getMessage()):
        time.sleep(0.3)
    if record.levelno >= logging.ERROR and getattr(record, "rule_msg", "") is None:
        record.rule_msg = last_line(record.log)
    return not STOPPED


def last_line(logs):
    """The last line of a job's log that says something."""
    lines = [
        line
        for log in filter(os.path.isfile, map(str, logs or ()))
        for line in Path(log).read_text(errors="replace").splitlines()
        if line.strip()
    ]
    return lines[-1].strip() if lines else "no line in its log"


if workflow.is_main_process:
    logger.addFilter(wanted)
    # In the background of a script ctrl-C is ignored, and stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def has_report():
    """Whether the report is among what was asked for: not with --until, or single targets."""
    return any(job.rule.name == "report" for job in workflow.dag.jobs)


def made():
    """What was asked for and is there; only the report, where that is asked for."""
    if has_report():
        files = [FOLDER / "report.html"]
    else:
        files = [
            f
            for job in sorted(workflow.dag.targetjobs, key=str)
            for f in job.output or job.input
        ]
    return [str(f) for f in files if Path(f).exists()]


onsuccess:
    if workflow.is_main_process and (found := made()):
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        print(f"Done: {', '.join(found[:3])}{more}")


onerror:
    if STOPPED:
        sys.exit(130)
    # What is done is drawn all the same; what is not is shown as missing.
    if workflow.is_main_process and not (DRAW_ONLY or IN_STORE) and has_report():
        for step in AFTER_A_FAILURE:
            subprocess.run(
                [sys.executable, "-m", "kd", step, STUDY], stdout=subprocess.DEVNULL
            )
        # Snakemake has no record of how these were made, and would not see that the study changes.
        for job in workflow.dag.jobs:
            if job.rule.name in AFTER_A_FAILURE:
                workflow.persistence.started(job)
