# A stage before the task for one student shape; all runs that start from it share it.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule stage:
    input:
        corpus_of,
    output:
        model=directory(STAGE / MODEL),
        training=STAGE / TRAINING,
        history=STAGE / HISTORY,
        spec=STAGE / SPEC,
    log:
        log_file(STAGE, "stage"),
    benchmark:
        benchmark_file(STAGE, "stage")
    priority: 30  # runs wait for it, and it takes long
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=2880,
    shell:
        'python -m kd stage "$KD_STUDY" --stage {wildcards.stage} --threads {threads} > {log} 2>&1'
