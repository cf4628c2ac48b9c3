# guideline.md, the advice that follows from runs.csv.


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
