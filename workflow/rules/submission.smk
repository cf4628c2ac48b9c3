# A zip for the GLUE leaderboard: `snakemake submission`. Not part of `all`.


rule submission:
    input:
        FOLDER / RECORD,
    output:
        FOLDER / "submission.zip",
        FOLDER / "submission.json",
    log:
        log_file(FOLDER, "submission"),
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=60,
    params:
        tests=lambda wildcards: leaderboard_files(),
    shell:
        'python -m kd submission "$KD_STUDY" --threads {threads} > {log} 2>&1'
