"""What a plan says, for people."""

from collections import Counter
from typing import Any

from kd.runtime.errors import listing
from kd.runtime.words import count


def plan_text(facts: dict[str, Any], shown: int = 10) -> str:
    """The plan for people."""
    reasons = Counter(entry["reason"] for entry in facts["pruned"])
    lines = [
        f"study {facts['study']}",
        f"  cells    {facts['cells']:>7}   combinations that the study writes",
        f"  pruned   {len(facts['pruned']):>7}   combinations that cannot run, or are excluded",
        f"  runs     {facts['runs']:>7}   different runs (equal cells are one run)",
        *_design_lines(facts["design"]),
        *_tuning_lines(facts["tuning"]),
        f"  done     {facts['done']:>7}",
        "  jobs     " + ", ".join(f"{n} {rule}" for rule, n in facts["jobs"].items() if n)
        if any(facts["jobs"].values())
        else "  jobs     nothing to do",
        *_time_lines(facts["time"]),
        f"  disk     {facts['disk_bytes'] / 1e9:>7.2f}   GB, of which teacher outputs "
        f"{sum(facts['store'].values()) / 1e9:.2f}",
        *_student_lines(facts["students"]),
        *_store_lines(facts),
        *map(_assistant_line, facts["assistants"]),
        *map(_stage_line, facts["stages"]),
        *map(_extra_line, facts["extras"]),
    ]
    lines += [
        f"  plugin   {plugin['file']} (its code runs in every command and job; SHA-256 "
        f"{plugin['sha256'][:12]}): {listing(plugin['rows'])}; {_of_it(plugin['runs'], 'use')} it"
        for plugin in facts["plugins"]
    ]
    lines += [f"  warning  {text}" for text in facts["warnings"]]
    if reasons:
        lines.append("pruned cells:")
        lines += [f"  {n:>5} x {reason}" for reason, n in reasons.most_common(shown)]
        if len(reasons) > shown:
            lines.append(f"  and {len(reasons) - shown} more reasons: --json lists every cell")
    return "\n".join(lines)


def _design_lines(design: dict[str, Any] | None) -> list[str]:
    """Lines on the part of the cells that is run, and on what it mixes."""
    if design is None:
        return []
    return [
        f"  design   {design['cells']:>7}   of {design['possible']:,} cells that can run, each on "
        f"every task with every seed ({design['kind']})",
        *(f"           {text}" for text in design["mixed"]),
    ]


def _tuning_lines(tuning: dict[str, Any] | None) -> list[str]:
    """Lines on what the selection on the held-out slice multiplies."""
    if tuning is None:
        return []
    lines = []
    if tuning["axes"]:
        tried = " x ".join(f"{axis} {len(values)}" for axis, values in tuning["axes"].items())
        lines.append(
            f"  tuning   {tuning['values']:>7}   values for each cell ({tried}): without tuning "
            f"there would be {count(tuning['runs_untuned'], 'run')}"
        )
    if tuning["teachers"]:
        tried = " x ".join(f"{key} {len(values)}" for key, values in tuning["teachers"].items())
        lines.append(f"  recipes  {tuning['recipes']:>7}   for each teacher and task ({tried})")
    lines.append(
        f"  slice    {100 * tuning['share']:>7.3g}   % of the training examples, which no training "
        f"sees: what is tuned is selected on them"
    )
    return lines


def _of_it(runs: int, verb: str) -> str:
    """'1 run learns', '6 runs learn'."""
    return f"{runs} run {verb}s" if runs == 1 else f"{runs} runs {verb}"


def _assistant_line(row: dict[str, Any]) -> str:
    """A line on a teacher that is the student of a run."""
    state = "done" if row["done"] else "to do"
    cell = "also a cell of this study" if row["cell"] else "no cell of this study"
    return (
        f"  teacher  {' > '.join([*row['chain'], row['teacher']])} on {row['task']}: "
        f"{row['student']}, the student of {row['run']} ({cell}), {state}; "
        f"{_of_it(row['runs'], 'learn')} from it"
    )


def _stage_line(stage: dict[str, Any]) -> str:
    """A line on a stage before the task."""
    state = "done" if stage["done"] else "to do"
    return (
        f"  stage    {stage['stage']} of {stage['student']}: {stage['steps']:,} steps, "
        f"{stage['tokens']:,} tokens, {state}; {_of_it(stage['runs'], 'start')} from it"
    )


def _extra_line(extra: dict[str, Any]) -> str:
    """A line on extra examples."""
    state = "done" if extra["done"] else "to be made"
    return (
        f"  extra    {extra['extra']} of {extra['task']}: about {extra['examples']:,} examples "
        f"that the teacher labels, {state}; {_of_it(extra['runs'], 'learn')} from them"
    )


def _time_lines(time: dict[str, Any]) -> list[str]:
    """Lines on the hours that are left: where they are spent, what they come from, and the wall."""
    lines = [f"  device   {_hours(time['hours'])}   hours on one device ({time['device']})"]
    if not time["hours"]:
        return lines
    by_basis: dict[str, list[str]] = {}
    for rule, left in sorted(time["rules"].items(), key=lambda item: -item[1]["hours"]):
        if left["hours"] >= 0.005 * time["hours"]:
            by_basis.setdefault(left["basis"], []).append(f"{rule} {_hours(left['hours']).strip()}")
    words = {
        "measured": "from "
        + count(time["trainings"], "training that is done", "trainings that are done"),
        "calibrated": "from what `kd calibrate` measured",
        "assumed": "assumed",
    }
    lines += [
        f"             {', '.join(by_basis[basis])}: {words[basis]}"
        for basis in words
        if basis in by_basis
    ]
    if time["trainings"] > 1:
        low, high = time["spread"]
        lines.append(
            f"             half of those trainings took {low:.2f} to {high:.2f} times what is "
            f"estimated now"
        )
    elif time["rates_from"] == "assumed":
        lines.append(
            "             only the order of magnitude is right: `kd calibrate` measures it"
        )
    low, high = time["wall_hours"]
    many = f"{time['devices']} devices" if time["devices"] > 1 else "one device"
    span = _hours(low).strip() if high - low < 0.01 * high else f"{low:.2f} to {high:.2f}"
    lines.append(
        f"  wall     {span:>7}   hours with {many}; the longest chain of jobs takes "
        f"{_hours(time['chain_hours']).strip()} ({', '.join(name for name, _ in time['chain'])})"
    )
    return lines


def _hours(value: float) -> str:
    return f"{value:>7.2f}" if value >= 0.1 or value == 0 else f"{value:>7.3f}"


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


def _store_lines(facts: dict[str, Any]) -> list[str]:
    """Lines on teacher outputs that are stored already, or will not be."""
    there, computed = (sum(facts[f"store_{n}"].values()) / 1e9 for n in ("there", "computed"))
    lines = []
    if facts["store_there"]:
        lines.append(f"  stored   {there:>7.2f}   GB of teacher outputs are there, and are read")
    if facts["store_computed"]:
        arrays = count(len(facts["store_computed"]), "array")
        lines.append(
            f"  computed {computed:>7.2f}   GB of teacher outputs ({arrays}) are not stored "
            f"(the study's `store`): every run that reads them computes them"
        )
        if others := facts["store_others"]:
            lines.append(
                f"  others   {others / 1e9:>7.2f}   GB of the room in `store` are taken by outputs "
                f"that no unfinished run of this study reads: `kd free STUDY...` lists them"
            )
    return lines
