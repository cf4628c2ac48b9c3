# Passes on the signals that end a job. SLURM sends them to the first process of the job alone, where it
# tracks processes by cgroup. That process is Snakemake, which ends at SIGUSR1, and waits at SIGTERM.
import contextlib
import signal

import psutil
from snakemake.scheduling.job_scheduler import JobScheduler


def pass_on(number, frame=None):
    """Let the commands of the job save their state and end. Their shells get no signal, because
    they would end at once."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if not process.children():
                process.send_signal(number)


def end_gracefully(scheduler, number=signal.SIGTERM, frame=None):
    pass_on(number)
    WAIT(scheduler, number, frame)


if not workflow.is_main_process:
    signal.signal(signal.SIGUSR1, pass_on)
    WAIT, JobScheduler.exit_gracefully = JobScheduler.exit_gracefully, end_gracefully
