"""Commands that are the steps of the workflow: one for each rule that computes something."""

import argparse
import sys
from pathlib import Path

from kd.cli.arguments import Commands, grid_of, study_command
from kd.runtime import startup
from kd.study.grid import Grid
from kd.study.paths import RECORD, Layout


def add(commands: Commands) -> None:
    """Add the commands of this module, in the order of the work."""
    study_command(commands, "data", _data, "Load the text of one task", "--task")
    study_command(
        commands,
        "extra",
        _extra,
        "Make extra examples of one task: augmented ones, or those of a transfer set",
        *("--task", "--extra", "--threads"),
    )
    study_command(
        commands, "tokenise", _tokenise, "Tokenise the text of one task", "--task", "--tokens"
    )
    study_command(
        commands,
        "teacher",
        _teacher,
        "Fine-tune one teacher and evaluate it",
        *("--teacher", "--threads"),
    )
    study_command(
        commands,
        "outputs",
        _outputs,
        "Store a teacher's outputs on the training examples, for all runs that need them",
        *("--teacher", "--tokens", "--need", "--threads"),
    )
    study_command(
        commands,
        "corpus",
        _corpus,
        "Pack the tokens of a stage's corpus",
        *("--corpus", "--tokens"),
    )
    study_command(
        commands,
        "stage",
        _stage,
        "Train the student of a stage before the task, on its corpus",
        *("--stage", "--threads"),
    )
    study_command(commands, "distil", _distil, "Train the student of one run", "--run", "--threads")
    study_command(
        commands, "evaluate", _evaluate, "Evaluate the student of one run", "--run", "--threads"
    )
    study_command(commands, "collect", _collect, "Gather the metrics of all runs into runs.csv")


def _data(options: argparse.Namespace) -> None:
    from kd.jobs.data import prepare_task

    prepare_task(*grid_of(options), options.task)


def _extra(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.extra import run_extra

    run_extra(*grid_of(options), options.task, options.extra, options.threads)


def _tokenise(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.tokenise import run_tokenise

    run_tokenise(*grid_of(options), options.task, options.tokens)


def _teacher(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.teacher import run_teacher

    run_teacher(*grid_of(options), options.teacher, options.threads)


def _outputs(options: argparse.Namespace) -> None:
    from kd.jobs.outputs import run_outputs

    run_outputs(*grid_of(options), options.teacher, options.tokens, options.need, options.threads)


def _corpus(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.corpus import run_corpus

    run_corpus(*grid_of(options), options.corpus, options.tokens)


def _stage(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.stage import run_stage

    run_stage(*grid_of(options), options.stage, options.threads)


def _distil(options: argparse.Namespace) -> None:
    startup.prepare()
    from kd.jobs.distil import run_distil

    run_distil(*grid_of(options), options.run, options.threads)


def _evaluate(options: argparse.Namespace) -> None:
    from kd.jobs.ahead import take_ahead

    asked = *grid_of(options), options.run, options.threads
    if take_ahead(*asked):
        return
    startup.prepare()
    from kd.jobs.evaluate import run_evaluate

    run_evaluate(*asked)


def _collect(options: argparse.Namespace) -> None:
    from kd.monitor.answers import write_answers
    from kd.monitor.collect import collect
    from kd.monitor.made_from import note_collected

    grid, layout = grid_of(options)
    path = layout.study(grid.study.name) / RECORD
    counts = collect(grid, layout, path)
    for remark in write_answers(grid, layout, path):
        print(f"warning: {remark}", file=sys.stderr)
    note_collected(grid, layout)
    print(f"{path}: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n))
    if grid.study.keep_students != "all":
        _remove_students(grid, layout, path, counts["done"] == len(grid.runs))


def _remove_students(grid: Grid, layout: Layout, record: Path, complete: bool) -> None:
    """Remove the weights that the study does not keep, and say so."""
    from kd.monitor.students import remove_students

    kept = []
    if grid.study.keep_students == "best":
        if not complete:
            print("students: all are kept until every run is done, since the best is not known yet")
            return
        from kd.results.best_students import best_of
        from kd.results.record import load_record

        study = grid.study.path
        kept = [best.run for best in best_of(load_record(record, study), study).values()]
    if removed := remove_students(grid, layout, kept):
        print(
            f"students: removed the weights of {len(removed)} (keep: {grid.study.keep_students}); "
            f"`kd retrain` makes them again"
        )
