# The tokens of a task, for one tokenizer and one length.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule tokenise:
    input:
        rules.data.output,
        extras_of_tokens,
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
