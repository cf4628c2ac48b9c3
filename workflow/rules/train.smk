# Teachers, shared by all runs that need them; then one training and one evaluation a run.
# The shell lines stay as they are: a changed letter would train every finished run again.
TEACHER, RUN = LAYOUT.teacher_folder("{teacher}", "{task}"), LAYOUT.run_folder("{run}")
OUTPUTS = LAYOUT.outputs_folder("{teacher}", "{task}", "{tokens}")


rule teacher:
    input:
        lambda wildcards: tokens_of(TEACHERS[wildcards.teacher]),
    output:
        model=directory(TEACHER / MODEL),
        metrics=TEACHER / METRICS,
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


rule evaluate:
    input:
        unpack(evaluate_input),
        model=rules.distil.output.model,
        training=rules.distil.output.training,
    output:
        metrics=RUN / METRICS,
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
