# Teachers, shared by all runs that need them; then one training and one evaluation a run.
# The shell lines stay as they are: a changed letter would train every finished run again.


rule teacher:
    input:
        lambda wildcards: tokens_of(TEACHERS[wildcards.teacher]),
    output:
        model=directory("results/teachers/{teacher}/{task}/model"),
        metrics="results/teachers/{teacher}/{task}/metrics.json",
    log:
        "results/teachers/{teacher}/{task}/log/teacher.log",
    benchmark:
        "results/teachers/{teacher}/{task}/log/teacher.benchmark.tsv"
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
        "results/teachers/{teacher}/{task}/outputs/{tokens}/{need}.json",
    log:
        "results/teachers/{teacher}/{task}/log/{tokens}-{need}.log",
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
        model=directory("results/runs/{run}/model"),
        training="results/runs/{run}/training.json",
        history="results/runs/{run}/history.csv",
        spec="results/runs/{run}/spec.json",
    log:
        "results/runs/{run}/log/distil.log",
    benchmark:
        "results/runs/{run}/log/distil.benchmark.tsv"
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
        metrics="results/runs/{run}/metrics.json",
    log:
        "results/runs/{run}/log/evaluate.log",
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
