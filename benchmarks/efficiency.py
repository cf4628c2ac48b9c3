"""`python -m benchmarks.efficiency FOLDER`: how much of a finished grid's time was training.

FOLDER is where snakemake ran. It holds results/ and .snakemake/, whose records say when each job
began and ended. Work of more than one start counts together, and the time between them as clock.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Rule: the file beside its log's folder that has the seconds of its training.
_TRAININGS = {"teacher": "metrics.json", "stage": "training.json", "distil": "training.json"}


@dataclass(frozen=True)
class Job:
    """One job of Snakemake: its rule, when it began and ended, and its training, in seconds."""

    rule: str
    start: float
    end: float
    training: float = 0.0


def jobs_of(folder: Path) -> list[Job]:
    """The jobs whose outputs are there, by Snakemake's records, of which each output has one.

    A training that went on after a stop has seconds of jobs that have no record. So no job counts
    as more training than it is long.
    """
    found: dict[str, Job] = {}
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if not path.is_file():
            continue
        record = json.loads(path.read_text())
        rule, start, end = (record.get(name) for name in ("rule", "starttime", "endtime"))
        if rule and start and end and record["log"]:
            log = record["log"][0]  # that of one job
            known = found.get(log, Job(rule, start, end))
            found[log] = Job(rule, min(start, known.start), max(end, known.end))
    for log, job in found.items():
        file = (folder / log).parents[1] / _TRAININGS.get(job.rule, "-")
        if file.is_file():
            seconds = json.loads(file.read_text())["train_seconds"]
            found[log] = replace(job, training=min(seconds, job.end - job.start))
    return sorted(found.values(), key=lambda job: job.start)


def efficiency(jobs: Iterable[Job], cores: int) -> dict[str, Any]:
    """Seconds of training over seconds of all jobs, each of one core, whole and by rule.

    Returns:
        `rules`: jobs, seconds, training seconds and share of all seconds, the largest first;
        `of_jobs`: training over the seconds of all jobs; `of_cores`: training over the clock, from
        the first start to the last end, times `cores`.
    """
    rules: dict[str, dict[str, float]] = {}
    jobs = list(jobs)
    for job in jobs:
        row = rules.setdefault(job.rule, {"jobs": 0, "seconds": 0.0, "training": 0.0})
        row["jobs"] += 1
        row["seconds"] += job.end - job.start
        row["training"] += job.training
    whole = sum(row["seconds"] for row in rules.values())
    for row in rules.values():
        row["share"] = row["seconds"] / whole
    training = sum(row["training"] for row in rules.values())
    clock = max(job.end for job in jobs) - min(job.start for job in jobs)
    ordered = sorted(rules.items(), key=lambda item: -item[1]["seconds"])
    return {
        "rules": dict(ordered),
        "of_jobs": training / whole,
        "of_cores": training / (clock * cores),
    }


def markdown(found: dict[str, Any]) -> str:
    """One row a rule, and a sentence."""
    lines = ["| rule | jobs | seconds | of them training | share of all seconds |"]
    lines.append("|---|---|---|---|---|")
    for rule, row in found["rules"].items():
        trained = f"{row['training'] / row['seconds']:.2f}" if row["training"] else ""
        lines.append(
            f"| {rule} | {row['jobs']} | {row['seconds']:.0f} | {trained} | {row['share']:.3f} |"
        )
    lines += [
        "",
        f"Training was {found['of_jobs']:.2f} of the seconds of all jobs, and "
        f"{found['of_cores']:.2f} of the cores' seconds from the first start to the last end.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table of a folder."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.efficiency", description=__doc__)
    parser.add_argument("folder", type=Path, help="where snakemake ran")
    parser.add_argument("--cores", type=int, default=1, help="that it was given (1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    jobs = jobs_of(options.folder)
    if not jobs:
        parser.error(f"{options.folder}/.snakemake/metadata: no record of a job")
    found = efficiency(jobs, options.cores)
    print(json.dumps(found, indent=2) if options.json else markdown(found))


if __name__ == "__main__":
    main()
