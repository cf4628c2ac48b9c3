"""From runs.csv to statistics, tables, figures, report and advice. No torch."""
