"""The measurements as Markdown."""

import statistics
from typing import Any

from benchmarks import growth
from benchmarks.workload import NAMES


def markdown(found: dict[str, Any]) -> str:
    """One table for each workload and student, then jobs and grids."""
    machine = found["machine"]
    lines = [
        f"Measured {found['measured']} on {found['device']}, {found['threads']} thread(s), "
        f"torch {found['torch']}; teacher {found['teacher']}, batches of {found['batch_size']}. "
        f"A large product runs at {machine['fp32_flops'] / 1e9:.0f} GFLOP/s in fp32 and "
        f"{machine['bf16_flops'] / 1e9:.0f} in bf16, a copy at {machine['bytes'] / 1e9:.1f} GB/s. "
        "Ratios are of one repetition: median (least to most).",
    ]
    for part in found["training"]:
        lines += ["", *_training(part)]
    starts = [f"{row['wall']:.2f} ({row['cpu']:.2f})" for row in found["start"]]
    lines += [
        "",
        "Start of a job to the end of its first step, seconds (of CPU work): "
        + ", ".join(starts)
        + ".",
    ]
    if found["grids"]:
        lines += [
            "",
            "Seconds (of CPU work) of planning a grid:",
            "",
            "| runs | jobs | `kd plan` | `snakemake -n` |",
            "|---|---|---|---|",
        ]
    for row in found["grids"]:
        times = f"{_seconds(row, 'plan')} | {_seconds(row, 'dry_run')}"
        lines.append(f"| {row['runs']} | {row['jobs']} | {times} |")
    for row in found["again"]:
        seconds = _seconds(row, "again")
        lines += ["", f"A finished grid of {row['runs']} runs asked again: {seconds} s."]
    lines += [
        "",
        f"An epoch of logits + hidden + attention, {NAMES[growth.MEAN_TOKENS]}:",
        "",
        "| | examples | student | seconds | GFLOP/s needed | peak GB | stored MB | student MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["growth"]:
        times = row["epoch_seconds"]
        seconds = statistics.median(times)
        lines.append(
            f"| {row['what']} | {row['examples']} | {row['student']} "
            f"| {seconds:.1f} ({min(times):.1f} to {max(times):.1f}) "
            f"| {row['epoch_flops'] / seconds / 1e9:.0f} | {row['peak_bytes'] / 1e9:.2f} "
            f"| {row['stored_bytes'] / 1e6:.0f} | {row['model_bytes'] / 1e6:.0f} |"
        )
    lines += [
        "",
        "A stage before the task, whose teacher runs at every step, on packed sequences:",
        "",
        "| | student | tokens/s | tokens/s, masked words alone | the teacher's share |",
        "|---|---|---|---|---|",
    ]
    for row in found["general"]:
        lines.append(
            f"| {row['knowledge']} | {row['student']} | {row['tokens_per_second']:.0f} "
            f"| {row['tokens_per_second_without_teacher']:.0f} | {_ratio(row['teachers_share'])} |"
        )
    return "\n".join(lines) + "\n"


def _training(part: dict[str, Any]) -> list[str]:
    lines = [
        f"**{part['workload']}** (mean {part['mean_tokens']:.1f} tokens), student "
        f"{part['student']}, {part['examples']} examples.",
        "",
        "| | examples/s | time, in student alone's | time, in logits + hidden + attention's |",
        "|---|---|---|---|",
    ]
    for name, row in part["contenders"].items():
        lines.append(
            f"| {name} | {row['examples_per_second']:.1f} | {_ratio(row['to_student_alone'])} "
            f"| {_ratio(row['to_ours'])} |"
        )
    alone = statistics.median(part["contenders"]["student alone"]["seconds"])
    lines += [
        "",
        f"Storing the teacher's outputs took {part['store_cpu_seconds']:.1f} s of CPU, once; a "
        f"step of the student alone takes {alone:.3f} s and needs "
        f"{part['needs']['flops'] / 1e9:.1f} GFLOP and {part['needs']['bytes'] / 1e9:.2f} GB of "
        f"the optimiser's memory traffic.",
    ]
    if part["peak_bytes"]:
        peaks = (f"{name} {size / 1e9:.2f}" for name, size in part["peak_bytes"].items())
        lines.append(f"Peak memory of a process that does nothing else, GB: {'; '.join(peaks)}.")
    for peer, (ours, theirs) in part["losses"].items():
        lines.append(f"Loss of one batch: {ours:.6f} here, {theirs:.6f} in {peer}.")
    return lines


def _ratio(row: dict[str, float]) -> str:
    return f"{row['median']:.2f} ({row['least']:.2f} to {row['most']:.2f})"


def _seconds(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.1f} ({row[f'{name}_cpu']:.1f})"
