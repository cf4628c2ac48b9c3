# The grid as a DAG: data -> tokenise -> teacher -> distil -> evaluate -> collect -> tables, figures
# -> report, guideline. The study file says what to run; `python -m kd` does the work; rules only connect.
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

from kd.monitor.copies import settle_times
from kd.monitor.overwriting import refuse_to_lose
from kd.runtime.errors import UserError
from kd.runtime.files import marked, set_aside
from kd.runtime.retries import START
from kd.study.find import namesakes, same_name
from kd.study.grid import load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import (
    HISTORY,
    METRICS,
    MODEL,
    RECORD,
    SPEC,
    TRAINING,
    Layout,
    benchmark_file,
    log_file,
    need_file,
)
from kd.study.stored import need_of

# Snakemake holds millions of objects as long as it plans. To look for garbage among them as often
# as Python does by default takes a sixth of the time that it plans a large grid.
gc.set_threshold(100_000, 50, 100)

STUDY = (
    Path(workflow.configfiles[0])
    if workflow.configfiles
    else Path(workflow.basedir) / "config/studies/demo.yaml"
)


# Shell lines find the interpreter and the study through this prefix, so that they read the same on
# every machine and for every study: Snakemake runs a finished job again when its line changes.
# With conda a job has an interpreter of its own, which is activated before the prefix is read.
prefix = f"export KD_STUDY={quote(str(STUDY))}; "
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    prefix += f"export PATH={quote(str(Path(sys.executable).parent))}:$PATH; "
shell.prefix(prefix.replace("{", "{{").replace("}", "}}"))


# Jobs inherit it: an automatic retry has that of the try before it, a person's new start another.
if workflow.is_main_process:
    os.environ[START] = uuid4().hex


# Defines GRID (the study's runs), the paths of their results.
include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/hooks.smk"


rule all:
    default_target: True
    input:
        # The runs themselves too: a runs.csv that was collected early must not hide missing ones.
        RUN_METRICS,
        rules.tables.output,
        rules.figures.output,
        rules.report.output,
        rules.guideline.output,
