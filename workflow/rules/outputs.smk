# Outputs of a teacher on the training examples, stored once for all runs that need them.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule outputs:
    input:
        unpack(outputs_input),
    output:
        need_file(OUTPUTS, "{need}"),
    log:
        log_file(TEACHER, "{tokens}-{need}"),
    priority: 10  # runs wait for it
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=720,
    shell:
        'python -m kd outputs "$KD_STUDY" --teacher {wildcards.teacher} --tokens {wildcards.tokens} --need {wildcards.need} --threads {threads} > {log} 2>&1'
