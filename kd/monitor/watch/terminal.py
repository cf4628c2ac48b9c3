"""The live view in a terminal, with rich."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kd.monitor.slurm_queue import waiting_text as queue_text
from kd.monitor.watch.look import Looker
from kd.monitor.watch.words import (
    counts_text,
    left_text,
    loss_text,
    rest_text,
    speed_text,
    step_text,
    waiting_text,
)

_BAR = 24  # characters
_FAILURES = 5  # that are shown
_FILE_WIDTH = 140  # characters of a line, where the output is no terminal
_NUMBERS_WIDTH = 62  # characters of a line that is not a job's name
_LEVELS = 8  # values of an axis that are shown


def watch(look: Looker, every: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Show the study until all its runs are done, anew after `every` seconds.

    Where the output is no terminal, it is shown once. On a large grid, whose files take long to
    read, the looks are further apart.
    """
    console = Console(highlight=False)
    started = time.monotonic()
    status = look()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
        console.print(view(status, 10_000, console.width))
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            pause = max(every, 10 * (time.monotonic() - started))
            live.update(view(status, console.height, console.width), refresh=True)
            if status["done"] == status["runs"]:
                return
            sleep(pause)
            started = time.monotonic()
            status = look()


def view(status: dict[str, Any], height: int, width: int = _FILE_WIDTH) -> RenderableType:
    """What one look found, in at most `height` lines: the least important parts are left out."""
    status = status | {"name_width": max(16, width - _NUMBERS_WIDTH)}
    parts: list[tuple[int, RenderableType]] = [(2, _header(status)), *_jobs(status)]
    room = height - sum(lines for lines, _ in parts)
    for build in (_at_work, _queue, _failures, _axes, _latest):
        lines, part = build(status, room)
        if lines and lines <= room:
            parts.append((lines, part))
            room -= lines
    return Group(*(part for _, part in parts))


def _header(status: dict[str, Any]) -> RenderableType:
    clock = time.strftime("%H:%M:%S", time.localtime(status["time"]))
    title = Text.assemble((status["study"], "bold"), f"  {counts_text(status)}  ", (clock, "dim"))
    return Group(title, Text(left_text(status)))


def _grid() -> Table:
    return Table.grid(padding=(0, 2))


def _bar(done: int, total: int) -> ProgressBar:
    return ProgressBar(total=max(total, 1), completed=done, width=_BAR)


def _jobs(status: dict[str, Any]) -> list[tuple[int, RenderableType]]:
    table = _grid()
    for rule, jobs in status["jobs"].items():
        running = f"{jobs['running']} running" if jobs["running"] else ""
        count = f"{jobs['done']:,} / {jobs['total']:,}"
        table.add_row(f"  {rule}", _bar(jobs["done"], jobs["total"]), count, running)
    return [(len(status["jobs"]), table)]


def _titled(title: str, table: Table, style: str = "bold") -> tuple[int, RenderableType]:
    return table.row_count + 1, Group(Text(title, style), table)


def _at_work(status: dict[str, Any], room: int) -> tuple[int, RenderableType]:
    rows = status["at_work"]
    if not rows:
        return 0, Text()
    shown = rows[: max(1, room - 3)]
    table = _grid()
    for side in ("left", "left", "right", "right", "right", "right"):
        table.add_column(justify=side, no_wrap=True)
    for row in shown:
        job = f"  {_short(row['name'], status['name_width'])}"
        told = (step_text(row), speed_text(row), loss_text(row), rest_text(row))
        table.add_row(job, str(row["phase"]), *told, Text(waiting_text(row), "dim"))
    title = f"At work: {len(rows)}"
    if len(shown) < len(rows):
        title += f", the first {len(shown)} of them"
    return _titled(title, table)


def _queue(status: dict[str, Any], room: int) -> tuple[int, RenderableType]:
    lines = [Text(queue_text(row), overflow="ellipsis", no_wrap=True) for row in status["queue"]]
    return len(lines), Group(*lines)


def _short(name: str, width: int) -> str:
    """A name without its middle, where it is longer: its end has the hash."""
    tail = width // 2
    return name if len(name) <= width else f"{name[: width - tail - 1]}…{name[-tail:]}"


def _failures(status: dict[str, Any], room: int) -> tuple[int, RenderableType]:
    lost = status["failures"]
    if not lost:
        return 0, Text()
    shown = sorted(lost, key=lambda entry: -(entry["time"] or 0))[:_FAILURES]
    table = _grid()
    for entry in shown:
        error = Text(entry["error"], overflow="ellipsis", no_wrap=True)
        table.add_row(f"  {_short(entry['run'], status['name_width'])}", error)
    title = f"Failed: {len(lost)}"
    if len(shown) < len(lost):
        title += f", the last {len(shown)} of them"
    return _titled(title, table, "bold red")


def _axes(status: dict[str, Any], room: int) -> tuple[int, RenderableType]:
    """The axes whose values fit; a long axis has its first values."""
    table = _grid()
    for axis, values in status["axes"].items():
        if table.row_count + min(len(values), _LEVELS) + 2 > room:
            continue
        for i, (value, states) in enumerate(values.items()):
            if i == _LEVELS and len(values) > _LEVELS + 1:
                table.add_row("", f"and {len(values) - i} more")
                break
            total = sum(states.values())
            failed = states.get("failed", 0)
            table.add_row(
                f"  {axis}" if i == 0 else "",
                Text(value, overflow="ellipsis", no_wrap=True),
                _bar(states.get("done", 0), total),
                f"{states.get('done', 0):,} / {total:,}",
                Text(f"{failed} failed" if failed else "", "red"),
            )
    return _titled("By axis", table) if table.row_count else (0, Text())


def _latest(status: dict[str, Any], room: int) -> tuple[int, RenderableType]:
    if not status["latest"]:
        return 0, Text()
    table = _grid()
    for row in status["latest"][: max(1, room - 1)]:
        clock = time.strftime("%H:%M:%S", time.localtime(row["finished"]))
        table.add_row(f"  {clock}", row["run"], f"{100 * row['score']:.1f} points")
    return _titled("Finished last", table)
