# Extra examples of a task, which have no labels: augmented ones, or those of a transfer set.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule extra:
    input:
        rules.data.output,
    output:
        directory(LAYOUT.extra_folder("{data}", "{task}", "{extra}")),
    log:
        str(LAYOUT.extending("{data}", "{task}", "{extra}")) + ".log",
    priority: 20  # runs wait for it
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=lambda wildcards: needs_model(wildcards.extra),
        mem_mb=memory(16000),
        runtime=1440,
    shell:
        'python -m kd extra "$KD_STUDY" --task {wildcards.task} --extra {wildcards.extra} --threads {threads} > {log} 2>&1'
