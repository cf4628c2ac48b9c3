# A zip for the GLUE leaderboard: `snakemake submission`. Not part of `all`.


def test_files():
    """Size and time of each test set on disk, so that a new one makes the zip again."""
    if GRID.study.data["source"] != "tsv":
        return []
    found = [
        unlabelled_file(GRID.study.data["path"], sheet) for sheet in SHEETS.values()
    ]
    return [f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in found if f]


rule submission:
    input:
        FOLDER / RECORD,
    output:
        FOLDER / "submission.zip",
        FOLDER / "submission.json",
    log:
        log_file(FOLDER, "submission"),
    conda:
        "../envs/kd.yaml"
    params:
        tests=lambda wildcards: test_files(),
    threads: THREADS
    resources:
        gpu=1,
        mem_mb=memory(16000),
        runtime=60,
    shell:
        'python -m kd submission "$KD_STUDY" --threads {threads} > {log} 2>&1'
