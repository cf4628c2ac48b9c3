# The figures, from runs.csv.


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
        asked=GRID.study.drawn,
    shell:
        'python -m kd figures "$KD_STUDY" > {log} 2>&1'
