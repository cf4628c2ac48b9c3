# summary.csv and the tables, from runs.csv.


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
