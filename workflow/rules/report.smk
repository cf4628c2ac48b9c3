# report.html, one page with figures and tables in it.


rule report:
    input:
        rules.tables.output,
        rules.figures.output,
        [FOLDER / name for name in undeclared(RECORD)],
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
