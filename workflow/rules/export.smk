# The best student of each task as a folder to ship: `snakemake export`. Not part of `all`.


rule export:
    input:
        FOLDER / RECORD,
    output:
        directory(FOLDER / "export"),
    log:
        log_file(FOLDER, "export"),
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        mem_mb=memory(8000),
        runtime=120,
    shell:
        'python -m kd export "$KD_STUDY" --best --threads {threads} > {log} 2>&1'
