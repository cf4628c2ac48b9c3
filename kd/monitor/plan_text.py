"""What a plan says, for people."""

from collections import Counter
from typing import Any

from kd.runtime.errors import listing


def plan_text(found: dict[str, Any], shown: int = 10) -> str:
    """The plan for people."""
    reasons = Counter(entry["reason"] for entry in found["pruned"])
    lines = [
        f"study {found['study']}",
        f"  cells    {found['cells']:>7}   combinations that the study writes",
        f"  pruned   {len(found['pruned']):>7}   combinations that cannot run, or are excluded",
        f"  runs     {found['runs']:>7}   different runs (equal cells are one run)",
        *_tuning_lines(found["tuning"]),
        f"  done     {found['done']:>7}",
        "  jobs     " + ", ".join(f"{n} {rule}" for rule, n in found["jobs"].items() if n)
        if any(found["jobs"].values())
        else "  jobs     nothing to do",
        f"  device   {found['device_hours']:>7.2f}   hours on one device, estimated"
        f" {_basis(found)}",
        f"  disk     {found['disk_bytes'] / 1e9:>7.2f}   GB, of which teacher outputs "
        f"{sum(found['store'].values()) / 1e9:.2f}",
        *_student_lines(found["students"]),
        *_store_lines(found),
        *map(_stage_line, found["stages"]),
        *map(_extra_line, found["extras"]),
    ]
    lines += [
        f"  plugin   {plugin['file']} (its code runs in every command and job; SHA-256 "
        f"{plugin['sha256'][:12]}): {listing(plugin['rows'])}; {plugin['runs']} runs use it"
        for plugin in found["plugins"]
    ]
    lines += [f"  warning  {text}" for text in found["warnings"]]
    if reasons:
        lines.append("pruned cells:")
        lines += [f"  {count:>5} x {reason}" for reason, count in reasons.most_common(shown)]
        if len(reasons) > shown:
            lines.append(f"  and {len(reasons) - shown} more reasons: --json lists every cell")
    return "\n".join(lines)


def _tuning_lines(tuning: dict[str, Any] | None) -> list[str]:
    """Lines on what the selection on the held-out slice multiplies."""
    if tuning is None:
        return []
    lines = []
    if tuning["axes"]:
        tried = " x ".join(f"{axis} {len(values)}" for axis, values in tuning["axes"].items())
        lines.append(
            f"  tuning   {tuning['values']:>7}   values for each cell ({tried}): without tuning "
            f"there would be {tuning['runs_untuned']} runs"
        )
    if tuning["teachers"]:
        tried = " x ".join(f"{key} {len(values)}" for key, values in tuning["teachers"].items())
        lines.append(f"  recipes  {tuning['recipes']:>7}   for each teacher and task ({tried})")
    lines.append(
        f"  slice    {100 * tuning['share']:>7.3g}   % of the training examples, which no training "
        f"sees: what is tuned is selected on them"
    )
    return lines


def _stage_line(stage: dict[str, Any]) -> str:
    """A line on a stage before the task."""
    state = "done" if stage["done"] else f"{stage['device_hours']:.2f} hours of the above"
    return (
        f"  stage    {stage['stage']} of {stage['student']}: {stage['steps']:,} steps, "
        f"{stage['tokens']:,} tokens, {state}; {stage['runs']} runs start from it"
    )


def _extra_line(extra: dict[str, Any]) -> str:
    """A line on extra examples."""
    state = "done" if extra["done"] else "to be made"
    return (
        f"  extra    {extra['extra']} of {extra['task']}: about {extra['examples']:,} examples "
        f"that the teacher labels, {state}; {extra['runs']} runs learn from them"
    )


def _basis(found: dict[str, Any]) -> str:
    """Where the estimate of the hours comes from."""
    if found["device_hours_measured"]:
        return "from the runs that are done"
    return "for a data-centre GPU, since no run of this study is done"


def _student_lines(students: dict[str, Any]) -> list[str]:
    """A line on students that are removed."""
    if students["keep"] == "all":
        return []
    when = {
        "best": f"{students['bytes'] / 1e9:.2f} GB stay: the best student of each task, once all "
        f"runs are done",
        "none": "the weights of each student are removed after its evaluation",
    }[students["keep"]]
    return [f"  students {students['keep']:>7}   {when}; `kd retrain` makes them again"]


def _store_lines(found: dict[str, Any]) -> list[str]:
    """Lines on teacher outputs that are stored already, or will not be."""
    there, computed = (sum(found[f"store_{n}"].values()) / 1e9 for n in ("there", "computed"))
    lines = []
    if found["store_there"]:
        lines.append(f"  stored   {there:>7.2f}   GB of teacher outputs are there, and are read")
    if found["store_computed"]:
        count = len(found["store_computed"])
        lines.append(
            f"  computed {computed:>7.2f}   GB of teacher outputs ({count} arrays) are not stored "
            f"(the study's `store`): every run that reads them computes them"
        )
        if others := found["store_others"]:
            lines.append(
                f"  others   {others / 1e9:>7.2f}   GB of the room in `store` are taken by outputs "
                f"that no unfinished run of this study reads: `kd free STUDY...` lists them"
            )
    return lines
