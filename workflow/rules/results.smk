# From metrics to what people read. Tables, figures and report are made from runs.csv alone.
from kd.runtime.files import short_hash

# Asked for only these, Snakemake draws from the runs.csv that is there and trains nothing.
DRAWN = {"tables", "figures", "report", "guideline"}
DRAW_ONLY = bool(asked_for()) and asked_for() <= DRAWN and (FOLDER / RECORD).is_file()


# What `collect` would refuse to write over has to be refused now: Snakemake removes what a job makes
# before it starts the job. Runs of this study whose files are here in part will be done again.
if workflow.is_main_process and not DRAW_ONLY and not command_line().unlock:
    ON_THE_WAY = {run.id for run in RUNS.values() if LAYOUT.run(run).exists()}
    or_end(refuse_to_lose, FOLDER / RECORD, LAYOUT.runs, ON_THE_WAY)


localrules:
    all,
    collect,
    tables,
    figures,
    report,
    guideline,


if not DRAW_ONLY:

    rule collect:
        input:
            RUN_METRICS,
        output:
            FOLDER / RECORD,
        log:
            log_file(FOLDER, "collect"),
        conda:
            "../envs/kd.yaml"
        params:
            labels=short_hash([[run.id, run.labels] for run in RUNS.values()]),
        shell:
            'python -m kd collect "$KD_STUDY" > {log} 2>&1'


rule tables:
    input:
        FOLDER / RECORD,
    output:
        summary=report(
            FOLDER / "summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "summary, every cell"},
        ),
        tables=report(
            directory(FOLDER / "tables"),
            patterns=["{name}.csv"],
            caption="../report/tables.rst",
            category="Tables",
            labels={"table": "{name}"},
        ),
    log:
        log_file(FOLDER, "tables"),
    conda:
        "../envs/kd.yaml"
    shell:
        'python -m kd tables "$KD_STUDY" > {log} 2>&1'


rule figures:
    input:
        FOLDER / RECORD,
    output:
        report(
            directory(FOLDER / "figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        log_file(FOLDER, "figures"),
    conda:
        "../envs/kd.yaml"
    params:
        asked=GRID.study.figures,
    shell:
        'python -m kd figures "$KD_STUDY" > {log} 2>&1'


rule report:
    input:
        rules.tables.output,
        rules.figures.output,
    output:
        report(
            FOLDER / "report.html",
            caption="../report/report.rst",
            category="Report",
            labels={"report": "all of it on one page"},
        ),
    log:
        log_file(FOLDER, "report"),
    conda:
        "../envs/kd.yaml"
    params:
        question=GRID.study.question,
        margin=GRID.study.margin,
    shell:
        'python -m kd report "$KD_STUDY" > {log} 2>&1'


rule guideline:
    input:
        FOLDER / RECORD,
    output:
        report(
            FOLDER / "guideline.md",
            caption="../report/guideline.rst",
            category="Report",
            labels={"report": "what to do"},
        ),
    log:
        log_file(FOLDER, "guideline"),
    conda:
        "../envs/kd.yaml"
    params:
        question=GRID.study.question,
        margin=GRID.study.margin,
    shell:
        'python -m kd guideline "$KD_STUDY" > {log} 2>&1'
