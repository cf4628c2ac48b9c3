# Text of a task, and its tokens for one tokenizer and length.


rule data:
    output:
        directory(LAYOUT.text("{data}", "{task}")),
    log:
        "results/logs/data/{data}-{task}.log",
    retries: 2  # the hub may be away for a moment
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        "{PYTHON} -m kd data {STUDY:q} --task {wildcards.task} > {log} 2>&1"


rule tokenise:
    input:
        rules.data.output,
    output:
        directory(LAYOUT.tokens("{data}", "{task}", "{tokens}")),
    log:
        "results/logs/tokenise/{data}-{task}-{tokens}.log",
    resources:
        mem_mb=8000,
        runtime=60,
    shell:
        "{PYTHON} -m kd tokenise {STUDY:q} --task {wildcards.task} --tokens {wildcards.tokens} > {log} 2>&1"
