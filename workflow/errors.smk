# What Snakemake says of a job that failed on a cluster, and which of them are not tried again.
from snakemake.jobs import GroupJob, Job
from snakemake.logging import logger
from snakemake_interface_executor_plugins.executors.base import AbstractExecutor

from kd.monitor.slurm_queue import refusal

REFUSED = set()  # jobs that SLURM would refuse again
REPORT_JOB_ERROR = AbstractExecutor.report_job_error


def report_job_error(executor, job_info, msg=None, **more):
    """One sentence for a job that SLURM refused, and why a group failed, which Snakemake (9.27) leaves out."""
    job = job_info.job
    members = set(job.jobs) if job.is_group() else {job}
    name = ", ".join(sorted({value for own in members for value in own.wildcards}))
    name = name or ", ".join(sorted(own.rule.name for own in members))
    if reason := refusal(msg or ""):
        REFUSED.update(members)
        logger.error(
            f"error: {name}: SLURM refuses the job ({reason}); it is not tried again: correct in the profile "
            f"what it asks for (slurm_account, slurm_partition, gpu, mem_mb, runtime)"
        )
        executor.workflow.scheduler.error_callback(job)
        return
    if msg and job.is_group():
        why = " ".join(msg.partition("\n    sbatch call:")[0].split())
        logger.error(f"error: {name}: {why}")
    REPORT_JOB_ERROR(executor, job_info, msg, **more)


def a_rule_of(group):
    return next(iter(group.jobs)).rule


def told_otherwise(record):
    """Whether to log this: not the traceback of an exception whose message is an error of its own."""
    return not record.getMessage().startswith("Exception in run_job for rule ")


if workflow.is_main_process:
    AbstractExecutor.report_job_error = report_job_error
    Job.restart_times = property(
        lambda job: 0 if job in REFUSED else job.rule.restart_times
    )
    # The plugin for SLURM (2.8) asks a group for its rule, to say what went wrong before `sbatch`.
    # Without one the thread that submits ends there, and Snakemake waits for ever.
    GroupJob.rule = property(a_rule_of)
    logger.addFilter(told_otherwise)
