"""The table of differences to the control, with intervals over seeds and over dev examples too."""

from collections.abc import Mapping

import pandas as pd

from kd.results.answers import TaskAnswers
from kd.results.numbers import NOTHING, interval, plain
from kd.results.statistics.examples import difference_interval, resampled_scores
from kd.results.statistics.pairing import control_runs
from kd.results.statistics.runs import AVERAGE, control_of, studied
from kd.results.tables.table import Table


def examples_table(runs: pd.DataFrame, answers: Mapping[str, TaskAnswers]) -> Table | None:
    """Each cell against its control on each task; None if no pair of runs has answers.

    Args:
        runs: prepared runs.
        answers: by task, as `read_answers` gives them.
    """
    names, control = studied(runs), control_of(runs)
    runs = runs.assign(controls=control_runs(runs))
    runs = runs[(runs["task"] != AVERAGE) & runs["difference"].notna()]
    rows, partial = [], 0
    for task, group in runs.groupby("task", sort=False):
        if task not in answers:
            continue
        own = answers[str(task)]
        scores = resampled_scores(own.splits, own.metrics)
        for cell, seeds in group.groupby(names, sort=False):
            seeds = seeds.drop_duplicates("run")
            pairs = [
                (run, controls)
                for run, controls in zip(seeds["run"], seeds["controls"], strict=True)
                if {run, *controls} <= own.runs
            ]
            if not pairs:
                continue
            partial += len(pairs) < len(seeds)
            gap = difference_interval(scores, pairs, own.examples)
            rows.append(
                [
                    *(str(task), *map(str, cell)),
                    plain(100 * gap.difference, 1, True),
                    interval(gap.seeds_low, gap.seeds_high) or NOTHING,
                    interval(gap.low, gap.high) or NOTHING,
                    f"{gap.seeds}",
                    f"{own.examples}",
                    plain(100 * gap.over_seeds, 1),
                    plain(100 * gap.over_examples, 1),
                ]
            )
    if not rows:
        return None
    return Table(
        f"Each cell against its control, {control}, in points: the difference with its 95 % "
        "interval over seeds, and over seeds and dev examples together.",
        ["task", *names, "difference", "over seeds", "over seeds and examples", "seeds",
         "examples", "se of seeds", "se of examples"],
        rows,
        1 + len(names),
        notes=[
            "over seeds: where the mean of very many trainings would lie on this dev split; over "
            "seeds and examples: where it would lie on very many examples like those of the dev "
            "split",
            "the intervals are not corrected for the number of cells",
            "se: the two parts of the standard error",
            *[f"rows with fewer seeds than were run: {partial}; not every run has left its answers"]
            * bool(partial),
        ],
    )  # fmt: skip
