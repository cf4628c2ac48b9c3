# Text of a task, and its tokens for one tokenizer and length.


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


rule tokenise:
    input:
        rules.data.output,
    output:
        directory(LAYOUT.tokens("{data}", "{task}", "{tokens}")),
    log:
        str(LAYOUT.tokenising("{data}", "{task}", "{tokens}")) + ".log",
    priority: 20  # teachers wait for it
    conda:
        "../envs/kd.yaml"
    resources:
        mem_mb=memory(8000),
        runtime=60,
    shell:
        'python -m kd tokenise "$KD_STUDY" --task {wildcards.task} --tokens {wildcards.tokens} > {log} 2>&1'
