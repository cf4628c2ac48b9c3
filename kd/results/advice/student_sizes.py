"""Groups of students of equal size, and the Pareto front with the price of each step."""

import pandas as pd

from kd.axes.equal_size import MEASURES
from kd.axes.shapes import TOKENS, parse_shape
from kd.results.advice.judge import contrasts_of, means_of, turned
from kd.results.advice.verdict import Step
from kd.results.statistics.cost import equal_cost, named_measure, pareto, with_costs
from kd.results.statistics.effects import contrasts
from kd.results.statistics.runs import AVERAGE
from kd.runtime.errors import UserError

# Measures of size by which students can be alike, as `iso-MEASURE` makes them -> words, factor,
# column of a record.
_SIZES = {
    "nonembedding": ("million parameters without embeddings", 1e-6, "parameters"),
    "params": ("million parameters", 1e-6, "size"),
    "flops": (f"GFLOPs for {TOKENS} tokens", 1e-9, "flops"),
}


def equal_students(runs: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """(their size in words, students) of each group of equal size.

    The measure is the one that the study names (column `equal_size`), or else the one in which most
    students are equal. Students that have not run count by their shape, so that lost runs do not
    change the groups. `runs` are prepared.
    """
    named = named_measure(runs)
    measures = [named] if named else list(_SIZES)
    runs = with_costs(runs)
    per_measure = []
    for measure in measures:
        words, factor, column = _SIZES[measure]
        sizes = runs.groupby("student", sort=False)[column].median()
        if sizes.isna().any():
            sizes = pd.Series({student: _size(student, measure) for student in sizes.index})
        sizes = factor * sizes
        per_measure.append(
            [(f"{sizes[group].median():.3g} {words}", group) for group in equal_cost(sizes)]
        )
    return max(per_measure, key=lambda groups: sum(len(group) for _, group in groups))


def _size(student: str, measure: str) -> float:
    try:
        return float(MEASURES[measure].size(parse_shape(student)))
    except UserError:
        return float("nan")


def front(runs: pd.DataFrame) -> tuple[Step, ...]:
    """The students of the Pareto front by cost, and the gain of each step.

    Scores are like with like: over all settings of the other axes that were run with both.
    """
    table = contrasts(runs, "student")
    means = pd.Series(means_of(table) if table["pairs"].sum() else {}, dtype=float)
    costs = with_costs(runs).groupby("student", sort=False)["flops"].median() / 1e9
    costs = costs.reindex(means.index).dropna().sort_values(kind="stable")
    means = means[costs.index]
    if means.empty:
        return ()
    own = runs[(runs["student"] == means.index[0]) & (runs["task"] != AVERAGE)]
    means += own.groupby("task")["score"].mean().mean() - means.iloc[0]
    every = {(c.value, c.other): c for c in contrasts_of(table) if c.pairs}
    every |= {(c.other, c.value): turned(c) for c in every.values()}
    steps: list[Step] = []
    for student in means.index[pareto(costs, means)]:
        lead = every.get((student, steps[-1].student)) if steps else None
        steps.append(Step(student, costs[student], 100 * means[student], lead))
    return tuple(steps)
