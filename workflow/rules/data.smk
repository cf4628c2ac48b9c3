# The text of a task: one Parquet file a split.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule data:
    output:
        directory(LAYOUT.text("{data}", "{task}")),
    log:
        str(LAYOUT.preparing("{data}", "{task}")) + ".log",
    priority: 20  # teachers wait for it
    conda:
        "../envs/kd.yaml"
    resources:
        mem_mb=memory(4000),
        runtime=60,
    shell:
        'python -m kd data "$KD_STUDY" --task {wildcards.task} > {log} 2>&1'
