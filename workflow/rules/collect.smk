# runs.csv, with one row for each run, from the metrics of all runs.
from kd.runtime.hashes import short_hash


rule collect:
    input:
        RUN_METRICS,
    output:
        FOLDER / RECORD,
    log:
        log_file(FOLDER, "collect"),
    conda:
        "../envs/kd.yaml"
    params:
        labels=short_hash([[run.id, run.labels] for run in RUNS.values()]),
    shell:
        'python -m kd collect "$KD_STUDY" > {log} 2>&1'
