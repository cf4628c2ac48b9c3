"""From runs.csv to statistics, tables, figures, report and advice.

May import `runtime`, `axes`, `data` and `study`. It loads no torch.
"""
