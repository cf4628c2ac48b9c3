# The study as a graph of jobs, from data to report. The study file says what to run, `python -m kd` does the
# work, and the rules connect the two: data -> tokenise -> teacher -> outputs -> distil -> evaluate ->
# collect -> tables, figures -> report; guideline. Before distil, where a study has stages: corpus -> stage.
# Before tokenise, where runs learn from examples without labels: extra.
import gc
import os
import sys
from pathlib import Path
from shlex import quote
from uuid import uuid4

from snakemake.cli import get_argument_parser
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import min_version

min_version("9.0")

from kd.axes.leaderboard import SHEETS
from kd.data.corpus import MANIFEST
from kd.data.unlabelled import unlabelled_file
from kd.monitor.copies import settle_times
from kd.monitor.overwriting import refuse_to_lose
from kd.monitor.students import refuse_removed, remove_unrecorded
from kd.runtime.errors import UserError
from kd.runtime.seals import is_whole, marked, set_aside
from kd.runtime.retries import START
from kd.study.find import namesakes, same_name
from kd.study.grid import load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import (
    HISTORY,
    METRICS,
    MODEL,
    PREDICTIONS,
    RECORD,
    SPEC,
    TRAINING,
    Layout,
    benchmark_file,
    log_file,
    need_file,
)
from kd.study.teacher_outputs import need_of

# Snakemake holds millions of objects while it plans. Looking for garbage among them as often as Python
# does by default takes a sixth of the planning time of a large grid.
gc.set_threshold(100_000, 50, 100)

# Another Snakefile that has a target of its own keeps it.
OWN_TARGET = bool(workflow.default_target)

# As a module of another Snakefile, `config: {"study_file": ...}` names the study.
AS_MODULE = config.get("study_file") if workflow.modifier.is_module else None
if AS_MODULE:
    STUDY = Path(AS_MODULE)
elif workflow.configfiles:
    STUDY = Path(workflow.configfiles[0])
else:
    STUDY = Path(workflow.basedir) / "config/studies/demo.yaml"

# With a storage provider (--default-storage-provider), a job has in its own folder what it declares, and
# nothing else: Snakemake fetches its inputs from the store, puts its outputs there, and has both below
# another folder than results/.
STORE = workflow.storage_settings.default_storage_provider
IN_STORE = STORE is not None
RESULTS = str(workflow.modifier.path_modifier.apply_default_storage("results"))


include: "workflow/store.smk"


# Snakemake runs a finished job again when its shell line changes. So the lines must be the same on every
# machine and for every study, and find the interpreter and the study through this prefix. With conda a
# job has its own interpreter, which is activated before the prefix is read.
prefix = f"export KD_STUDY={quote(str(STUDY))}; "
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    prefix += f"export PATH={quote(str(Path(sys.executable).parent))}:$PATH; "
if IN_STORE:
    prefix += f"export KD_RESULTS={quote(RESULTS)} KD_NOTHING_SHARED=1; "
    if STORE == "s3":
        tell_jobs_of_the_store()
else:  # users set it for commands that they call; it would send jobs to another folder
    prefix += "unset KD_RESULTS; "
    os.environ.pop("KD_RESULTS", None)
shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))


# An id of this start, which jobs inherit: an automatic retry has the same one, a new start another.
if workflow.is_main_process:
    os.environ[START] = uuid4().hex


include: "workflow/study.smk"  # GRID, the runs of the study; LAYOUT, the paths of all results
include: "workflow/start.smk"  # before planning: refuses, repairs
include: "workflow/inputs.smk"  # what the rules share


report: "workflow/report/workflow.rst"


localrules:
    all,
    collect,
    tables,
    figures,
    report,
    guideline,


include: "workflow/rules/data.smk"
include: "workflow/rules/extra.smk"
include: "workflow/rules/tokenise.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/outputs.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/stage.smk"
include: "workflow/rules/distil.smk"
include: "workflow/rules/evaluate.smk"


if not DRAW_ONLY:

    include: "workflow/rules/collect.smk"


include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/guideline.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/submission.smk"
include: "workflow/errors.smk"  # what is printed of a job that failed
include: "workflow/signals.smk"  # what a job of a cluster does with them
include: "workflow/end.smk"  # what is printed at the end, and drawn after a failure


rule all:
    default_target: not OWN_TARGET
    input:
        # The runs themselves too: a runs.csv that was collected early must not hide missing ones.
        RUN_METRICS,
        rules.tables.output,
        rules.figures.output,
        rules.report.output,
        rules.guideline.output,
