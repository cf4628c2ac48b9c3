"""How times, speeds and losses are written in the live view."""

from typing import Any

from kd.runtime.state import STATES
from kd.runtime.words import count


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def left_text(look: dict[str, Any]) -> str:
    """A sentence on the time that is left."""
    left = look["left"]
    if look["done"] == look["runs"]:
        return "All runs are done."
    if left is None:
        return "Time left: not known before a training has a speed."
    work = duration(left["device_seconds"])
    if not left["at_once"]:
        return f"Nothing is running. About {work} of work are left for one job at a time."
    jobs = "1 job" if left["at_once"] == 1 else f"{left['at_once']} jobs"
    more = f", {work} of work" if left["at_once"] > 1 else ""
    return f"Time left: about {duration(left['seconds'])} with {jobs} at a time{more}."


def counts_text(look: dict[str, Any]) -> str:
    """'21 runs: 3 done, 1 running, 17 missing'; states without runs are left out."""
    told = ", ".join(f"{look[state]} {state}" for state in STATES if look[state])
    return f"{count(look['runs'], 'run')}: {told}"


def step_text(row: dict[str, Any]) -> str:
    """'120 / 750', or '' before the first phase has begun to count."""
    return f"{row['done']:,} / {row['total']:,}" if row["total"] else ""


def speed_text(row: dict[str, Any]) -> str:
    """'6.4 steps/s', or '12 s/step' of a slow one; '' while none is done."""
    speed = row["per_second"]
    if not speed:
        return ""
    return f"{speed:.3g} steps/s" if speed >= 0.5 else f"{1 / speed:.3g} s/step"


def rest_text(row: dict[str, Any]) -> str:
    """The time that the phase still takes; '' where that is not known."""
    speed = row["per_second"]
    return duration((row["total"] - row["done"]) / speed) if speed and row["total"] else ""


def loss_text(row: dict[str, Any]) -> str:
    """The last mean loss of a training; '' while there is none."""
    losses = [entry["loss"] for entry in row["history"] if entry.get("loss") is not None]
    return f"{losses[-1]:.4g}" if losses else ""


def waiting_text(row: dict[str, Any]) -> str:
    """How many runs wait for a step."""
    count = row["waiting"]
    return f"{count} run{'s wait' if count > 1 else ' waits'} for it" if count else ""
