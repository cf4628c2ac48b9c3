# A teacher, fine-tuned on one task and evaluated; all runs that need it share it.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule teacher:
    input:
        teacher_input,
    output:
        model=directory(TEACHER / MODEL),
        metrics=TEACHER / METRICS,
        more=[TEACHER / name for name in undeclared(PREDICTIONS, HISTORY)],
    log:
        log_file(TEACHER, "teacher"),
    benchmark:
        benchmark_file(TEACHER, "teacher")
    priority: 10  # runs wait for it
    conda:
        "../envs/kd.yaml"
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=720,
    shell:
        'python -m kd teacher "$KD_STUDY" --teacher {wildcards.teacher} --threads {threads} > {log} 2>&1'
