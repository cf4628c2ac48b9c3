# The evaluation of one student.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule evaluate:
    input:
        unpack(evaluate_input),
        model=rules.distil.output.model,
        training=rules.distil.output.training,
    output:
        metrics=RUN / METRICS,
        predictions=RUN / PREDICTIONS,
    log:
        log_file(RUN, "evaluate"),
    group:
        "run"
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=60,
    shell:
        'python -m kd evaluate "$KD_STUDY" --run {wildcards.run} --threads {threads} > {log} 2>&1'
