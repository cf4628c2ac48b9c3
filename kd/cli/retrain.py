"""The command `retrain`: weights for runs whose study does not keep them."""

import argparse

from kd.cli.arguments import Commands, grid_of, study_command
from kd.runtime.errors import UserError
from kd.study.paths import RECORD

_ABOUT = """\
Train the students of finished runs again, whose weights were not kept

  kd retrain STUDY RUN...             these runs, by their ids
  kd retrain STUDY --best             the best student of each task
  kd retrain STUDY --best --task rte

A study with `keep: {students: none}` (or `best`) removes the weights of a student when its run is
done. This makes them again, on as many threads as before, and compares them with the fingerprint in
the run's record. If they are the same to the bit, they take their place, and nothing else of the
run changes. If they are not, they stay in the folder `retrained` of the run, and the command says
what differs, for example the device or the version of torch.
"""


def add(commands: Commands) -> None:
    """Add the command of this module."""
    parser = study_command(commands, "retrain", _retrain, _ABOUT)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="id of a run, as `kd runs` prints")
    parser.add_argument("--best", action="store_true", help="the best student of each task")
    parser.add_argument("--task", action="append", metavar="TASK", help="with --best: of this task")


def _retrain(options: argparse.Namespace) -> None:
    if options.best == bool(options.runs):
        raise UserError("retrain: give the ids of runs, or --best")
    if options.task and not options.best:
        raise UserError("retrain: --task goes with --best: a run has one task")
    grid, layout = grid_of(options)
    runs = options.runs
    if options.best:
        from kd.results.best_students import best_of
        from kd.results.record import load_record

        study = grid.study.path
        record = load_record(layout.study(grid.study.name) / RECORD, study)
        runs = [student.run for student in best_of(record, study, options.task).values()]
    from kd.runtime import startup

    startup.prepare()
    from kd.jobs.retrain import run_retrain

    for run in runs:
        done = run_retrain(grid, layout, run)
        outcome = "trained again, to the same bits" if done else "has its weights"
        print(f"{run}: {outcome}", flush=True)
