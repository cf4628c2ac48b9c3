"""From runs.csv to numbers that can be believed; docs/statistics.md has the formulas."""
