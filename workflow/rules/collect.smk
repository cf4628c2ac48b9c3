# runs.csv, with one row for each run, from the metrics of all runs.
from kd.runtime.hashes import short_hash
from kd.study.kept import kept_note
from kd.study.selected import select_note


rule collect:
    input:
        collect_input,
    output:
        FOLDER / RECORD,
    log:
        log_file(FOLDER, "collect"),
    conda:
        "../envs/kd.yaml"
    params:
        labels=short_hash(
            [[r.id, r.labels] for r in RUNS.values()]
            + select_note(GRID)
            + kept_note(GRID.study)
        ),
    shell:
        'python -m kd collect "$KD_STUDY" > {log} 2>&1'
