"""Values of axes that no run has, because none of their cells can run."""

from collections import Counter

from kd.study.grid import Grid, cells_of

PrunedValue = tuple[str, str, str]  # axis, value, the most frequent reason


def pruned_values(grid: Grid | None) -> list[PrunedValue]:
    """Values of axes none of whose cells can run; [] if the grid is not known."""
    if grid is None or not grid.pruned:
        return []
    cells = [cell for cell, _ in cells_of(grid.study, grid.chosen)]
    if grid.chosen:
        cells += [cell for cell, _ in grid.pruned]
    rows = []
    for axis, values in grid.study.axes.items():
        for value in values:
            reasons = Counter(why for cell, why in grid.pruned if cell.get(axis) == value)
            if reasons.total() and reasons.total() == sum(c.get(axis) == value for c in cells):
                rows.append((axis, str(value), reasons.most_common(1)[0][0]))
    return rows
