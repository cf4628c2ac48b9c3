# The packed tokens of a stage's corpus, for one tokenizer and length.
# Frozen: if a letter of the shell line changes, Snakemake runs every finished job again.


rule corpus:
    output:
        CORPUS / MANIFEST,
    log:
        str(PACKING) + ".log",
    priority: 30  # stages wait for it
    conda:
        "../envs/kd.yaml"
    resources:
        mem_mb=memory(8000),
        runtime=720,
    shell:
        'python -m kd corpus "$KD_STUDY" --corpus {wildcards.corpus} --tokens {wildcards.tokens} > {log} 2>&1'
