# The training of one student.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule distil:
    input:
        unpack(distil_input),
    output:
        model=directory(RUN / MODEL),
        training=RUN / TRAINING,
        history=RUN / HISTORY,
        spec=RUN / SPEC,
    log:
        log_file(RUN, "distil"),
    benchmark:
        benchmark_file(RUN, "distil")
    group:
        "run"
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=720,
    shell:
        'python -m kd distil "$KD_STUDY" --run {wildcards.run} --threads {threads} > {log} 2>&1'
