"""Commands about a study that runs: what it will cost, how far it is, what it left behind."""

import argparse
import json
import sys
from pathlib import Path

from kd.cli import budget, calibrate, further_seeds, new, power
from kd.cli.arguments import (
    COUNT,
    STUDY,
    Commands,
    add_options,
    command,
    grid_of,
    limited,
    study_command,
)
from kd.runtime.errors import UserError, unknown
from kd.study.find import find_study, namesakes, same_name
from kd.study.grid import Grid, load_grid
from kd.study.inputs import check_inputs
from kd.study.paths import METRICS, Layout
from kd.study.run import Run

_PLAN = """\
Show what a study would run, and what it costs; start nothing

Prints how many cells the study has, which cannot run and why, how many runs are left, how many
jobs of each kind, the disk that the results will take, and the time. Hours come from the records of
trainings that are done, of this study or of others below the same results. Without any, they come
from `kd calibrate`, and without that they are assumed.

With --budget-hours it proposes smaller studies that fit, and says what each can still show: the
smallest difference that its seeds find with probability 0.8, as `kd power` has it. Seeds are never
cut below what --difference needs. --write makes a study file of one of them.
"""

_RUNS = """\
List a study's runs with their ids and specs

With --only, only the runs that have these values; a run needs one of the values of each key. With
--not-in, only the runs that a record lacks: what is left to do where the results of the others are
gone or on another machine. With --files, in the form that Snakemake takes, so that a part of a
study can run before the rest:

  kd runs mine.yaml --only task=rte task=mrpc seed=1
  kd runs mine.yaml --only task=rte --files | xargs -r snakemake --configfile mine.yaml --
  kd runs mine.yaml --not-in records/mine --files | xargs -r snakemake --configfile mine.yaml --
"""

_STATUS = """\
Show how many runs are done, running, failed, missing

Each step that is running is shown with its count and speed: of a run, or of something that runs
wait for (data, tokens, a teacher, stored outputs). Where jobs wait in the queue of SLURM, their
reasons are shown.
"""

_WATCH = """\
Watch a study while it runs: progress, jobs at work, time left, failures

In the terminal it ends when all runs are done. With --web it is a page on this machine instead,
with the curves of the trainings that are running and the scores so far. It reads the files of the
results and writes nothing, so it also works on the login node of a cluster. The time left comes
from the measured speed of this study's trainings.
"""

_FREE = """\
Remove stored teacher outputs and packed corpora that nothing unfinished needs

Without --yes it only lists them. Name every study that is not finished: what their unfinished runs
read is kept, and everything else that is stored for their teachers is removed; so are the tokens of
corpora whose stages are done. Finished runs and stages stay finished. A later one that needs
something that was removed makes it again.
"""


def add(commands: Commands) -> None:
    """Add the commands of this module."""
    new.add(commands)
    plan = study_command(commands, "plan", _plan, _PLAN, "--json")
    plan.add_argument(
        "--device", metavar="NAME",
        help="cpu, gpu, or the name of a device that has been measured (default: the one of the "
        "study's records, of a calibration, or of this machine)",
    )  # fmt: skip
    plan.add_argument(
        "--devices", type=COUNT, default=1, metavar="N", help="jobs that run at once (default: 1)"
    )
    budget.add_options(plan)
    calibrate.add(commands)
    power.add(commands)
    further_seeds.add(commands)
    runs = command(commands, "runs", _runs, _RUNS)
    runs.add_argument("study", metavar="STUDY", help=STUDY)
    add_options(runs, "--json")
    runs.add_argument(
        "--only", metavar="KEY=VALUE", nargs="+", action="extend", default=[],
        help="only runs that have these values of what the study varies",
    )  # fmt: skip
    runs.add_argument(
        "--not-in", metavar="RECORD", nargs="+", action="extend", type=Path, default=[],
        help="only runs that are not done in these records (folders)",
    )  # fmt: skip
    runs.add_argument(
        "--files", action="store_true", help="print the files that Snakemake makes of the runs"
    )
    study_command(
        commands,
        "status",
        _status,
        _STATUS,
        "--json",
    )
    watch = study_command(commands, "watch", _watch, _WATCH)
    watch.add_argument("--web", action="store_true", help="serve a page on 127.0.0.1")
    watch.add_argument(
        "--port",
        type=limited(int, 0, 65535, "0 to 65535"),
        metavar="N",
        help="of the page (default: the first free one from 8765)",
    )
    watch.add_argument(
        "--every", type=limited(float, 0.5, 3600, "0.5 to 3600 seconds"), default=5.0,
        metavar="SECONDS",
        help="time between two looks at the files (default: 5)",
    )  # fmt: skip
    study_command(
        commands,
        "recover",
        _recover,
        "After a crash, list what was left behind, and what to do about it",
        "--json",
    )
    free = command(commands, "free", _free, _FREE)
    free.add_argument("studies", metavar="STUDY", nargs="+", help=STUDY)
    add_options(free, "--results", "--json")
    free.add_argument("--yes", action="store_true", help="remove them")


def _plan(options: argparse.Namespace) -> None:
    from kd.monitor.plan import plan
    from kd.monitor.plan_text import plan_text
    from kd.monitor.students import refuse_removed

    grid, layout = grid_of(options)
    check_inputs(grid)
    refuse_removed(grid, layout)
    for other in namesakes(grid.study.path, grid.study.name):
        print(f"warning: {same_name(grid.study.path, other, grid.study.name)}", file=sys.stderr)
    if budget.is_asked(options):
        budget.show(options, grid, layout)
        return
    facts = plan(grid, layout, options.device, options.devices)
    print(json.dumps(facts, indent=2) if options.json else plan_text(facts))


def _runs(options: argparse.Namespace) -> None:
    from kd.monitor.recorded import recorded_rows, records_below

    grid = load_grid(options.study)
    names = {t.student_of.id: t.name for t in grid.teachers.values() if t.student_of}
    recorded = recorded_rows(records_below(options.not_in))
    runs = [run for run in _with_values(grid, options.only) if run.id not in recorded]
    if options.files:  # as Snakemake knows them, wherever its folder is
        files = [str(Layout(Path("results")).run(run) / METRICS) for run in runs]
        for line in [json.dumps(files, indent=2)] if options.json else files:
            print(line)
        return
    others = {id: run for id, run in grid.assistants.items() if id not in {*grid.runs, *recorded}}
    if options.only:
        others = {}
    if options.json:
        rows = [
            {
                "id": run.id,
                "spec": run.spec,
                "labels": run.labels,
                "teacher_id": run.teacher.id,
                **({"stage_id": run.stage.id} if run.stage else {}),
                **({"assistant": names[run.id]} if run.id in grid.assistants else {}),
            }
            for run in [*runs, *others.values()]
        ]
        print(json.dumps(rows, indent=2))
        return
    for run in runs:
        print(run.id, *(f"{key}={run.labels[key]}" for key in grid.varied))
    for run in others.values():
        print(run.id, f"(teacher {names[run.id]}; no cell of this study)")


def _with_values(grid: Grid, conditions: list[str]) -> list[Run]:
    """The runs that have, for each KEY of the conditions, one of its VALUEs."""
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        key, _, value = condition.partition("=")
        if key not in grid.varied:
            raise unknown("--only", key, grid.varied)
        values = dict.fromkeys(run.labels[key] for run in grid.runs.values())
        if value not in values:
            raise unknown(f"--only {key}", value, values)
        wanted.setdefault(key, set()).add(value)
    return [
        run
        for run in grid.runs.values()
        if all(run.labels[key] in values for key, values in wanted.items())
    ]


def _status(options: argparse.Namespace) -> None:
    from kd.monitor.status import status_text, study_status

    facts = study_status(*grid_of(options))
    print(json.dumps(facts, indent=2) if options.json else status_text(facts))


def _watch(options: argparse.Namespace) -> None:
    from kd.monitor.watch.look import looker
    from kd.runtime.signals import Stopped

    if options.port is not None and not options.web:
        raise UserError("--port: has no effect without --web")
    grid, layout = grid_of(options)
    look = looker(grid, layout)
    try:
        if options.web:
            from kd.monitor.watch.web import serve

            serve(look, layout.results, options.every, options.port)
        else:
            from kd.monitor.watch.terminal import watch

            watch(look, options.every)
    except Stopped:  # how a reader ends it
        return


def _recover(options: argparse.Namespace) -> None:
    from kd.monitor.recover import recover

    sentences = recover(*grid_of(options))
    if options.json:
        print(json.dumps(sentences, indent=2))
    else:
        print("\n".join(sentences) or "nothing is left of a workflow that died")


def _free(options: argparse.Namespace) -> None:
    from kd.monitor.free import free, idle_corpora, idle_outputs

    layout = Layout(options.results)
    sizes = dict[Path, int]()
    for idle in (idle_outputs, idle_corpora):
        sizes |= idle((load_grid(find_study(study)) for study in options.studies), layout)
    if options.yes:
        free(sizes, layout)
    if options.json:
        files = {str(file): size for file, size in sizes.items()}
        print(json.dumps({"removed": options.yes, "files": files}, indent=2))
        return
    if not sizes:
        print("there are no stored teacher outputs or corpora that nothing unfinished needs")
        return
    for file, size in sizes.items():
        print(f"{size / 1e6:>12,.3f} MB  {file}")
    end = "removed" if options.yes else "would be removed with --yes"
    print(f"{sum(sizes.values()) / 1e6:>12,.3f} MB  {end}")
