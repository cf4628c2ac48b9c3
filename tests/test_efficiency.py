"""How much of a grid's time was training, from the records of Snakemake and of results."""

import json
from pathlib import Path

from benchmarks.efficiency import Job, efficiency, jobs_of, markdown


def test_jobs_are_read_from_the_records_of_their_outputs(tmp_path: Path) -> None:
    """Two outputs of a job are one job; a training that went on is no longer than its last job."""
    folder = tmp_path / ".snakemake/metadata"
    (folder / "long").mkdir(parents=True)  # where a name would be too long
    log = ["results/runs/a/log/distil.log"]
    records = {
        "one": {"rule": "distil", "log": log, "starttime": 10.0, "endtime": 20.0},
        "long/two": {"rule": "distil", "log": log, "starttime": 10.5, "endtime": 20.5},
        "three": {
            "rule": "teacher",
            "log": ["results/teachers/t/x/log/teacher.log"],
            "starttime": 1.0,
            "endtime": 9.0,
        },
        "four": {"rule": "data", "log": ["results/logs/data/x.log"], "starttime": 0, "endtime": 0},
    }
    for name, record in records.items():
        (folder / name).write_text(json.dumps(record))
    for file in ("runs/a/training.json", "teachers/t/x/metrics.json"):
        path = tmp_path / "results" / file
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"train_seconds": 8.5}))
    assert jobs_of(tmp_path) == [Job("teacher", 1, 9, 8), Job("distil", 10, 20.5, 8.5)]


def test_efficiency_is_training_over_all_jobs_and_over_the_cores() -> None:
    jobs = [Job("distil", 0, 10, 6), Job("distil", 0, 10, 8), Job("evaluate", 10, 15)]
    found = efficiency(jobs, cores=2)
    assert (found["of_jobs"], found["of_cores"]) == (14 / 25, 14 / 30)
    assert found["rules"]["evaluate"] == {"jobs": 1, "seconds": 5, "training": 0, "share": 0.2}
    assert "| distil | 2 | 20 | 0.70 | 0.800 |" in markdown(found)
