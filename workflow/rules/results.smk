# From metrics to what people read. Tables, figures and report are made from runs.csv alone.
from kd.files import short_hash

# Asked for only these, Snakemake draws from the runs.csv that is there and trains nothing.
DRAWN = {"tables", "figures", "report"}
DRAW_ONLY = (
    bool(asked_for()) and asked_for() <= DRAWN and (FOLDER / "runs.csv").is_file()
)


localrules:
    all,
    collect,
    tables,
    figures,
    report,


if not DRAW_ONLY:

    rule collect:
        input:
            METRICS,
        output:
            FOLDER / "runs.csv",
        log:
            FOLDER / "log/collect.log",
        conda:
            "../envs/kd.yaml"
        params:
            labels=short_hash([[run.id, run.labels] for run in RUNS.values()]),
        shell:
            'python -m kd collect "$KD_STUDY" > {log} 2>&1'


rule tables:
    input:
        FOLDER / "runs.csv",
    output:
        summary=report(
            FOLDER / "summary.csv",
            caption="../report/summary.rst",
            category="Tables",
        ),
        tables=report(
            directory(FOLDER / "tables"),
            patterns=["{name}.csv"],
            caption="../report/tables.rst",
            category="Tables",
        ),
    log:
        FOLDER / "log/tables.log",
    conda:
        "../envs/kd.yaml"
    shell:
        'python -m kd tables "$KD_STUDY" > {log} 2>&1'


rule figures:
    input:
        FOLDER / "runs.csv",
    output:
        report(
            directory(FOLDER / "figures"),
            patterns=["{name}.png"],
            caption="../report/figures.rst",
            category="Figures",
        ),
    log:
        FOLDER / "log/figures.log",
    conda:
        "../envs/kd.yaml"
    shell:
        'python -m kd figures "$KD_STUDY" > {log} 2>&1'


rule report:
    input:
        rules.tables.output,
        rules.figures.output,
    output:
        FOLDER / "report.html",
    log:
        FOLDER / "log/report.log",
    conda:
        "../envs/kd.yaml"
    params:
        question=GRID.study.question,
    shell:
        'python -m kd report "$KD_STUDY" > {log} 2>&1'
