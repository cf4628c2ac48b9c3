"""What was measured on a GPU, as Markdown."""

import statistics
from typing import Any


def markdown(found: dict[str, Any]) -> str:
    """A table of contenders for each workload, one of jobs on one GPU, and sentences."""
    card = found.get("card", {})
    lines = [
        f"Measured {found['measured']} on {card.get('name', 'an unknown card')}, torch "
        f"{card.get('torch')}; student {found['student']}, teacher {found['teacher']}, batches of "
        f"{found['batch_size']}."
    ]
    if "fp32_flops" in card:
        lines.append(
            f"A large product runs at {card['fp32_flops'] / 1e12:.1f} TFLOP/s in fp32 and "
            f"{card['bf16_flops'] / 1e12:.1f} in bf16, a copy at {card['bytes'] / 1e9:.0f} GB/s."
        )
    if tests := found.get("tests"):
        lines.append(
            f"Tests on it: {tests['passed']} passed, {tests['skipped']} skipped, "
            f"{len(tests['failed'])} failed{''.join(f'; {name}' for name in tests['failed'])}."
        )
    for precision, digests in found.get("bits", {}).items():
        said = "the same bits" if len(digests) == 1 else "**other bits**"
        lines.append(f"The same training twice in {precision}: {said}.")
    if busy := found.get("busy"):
        lines.append(
            f"A step takes {busy['milliseconds_a_step']:.1f} ms and starts "
            f"{busy['kernels_a_step']:.0f} kernels; the GPU is busy {busy['busy']:.0%} of it."
        )
    if starts := found.get("start"):
        seconds = ", ".join(f"{row['wall']:.1f}" for row in starts)
        lines.append(f"Start of a job to the end of its first step: {seconds} s.")
    if found.get("packing"):
        lines += ["", *_packing(found["packing"])]
    for name, part in found.items():
        if name.startswith("training "):
            lines += ["", *_training(part)]
    for name, error in found["failed"].items():
        lines += ["", f"**Failed**: {name}: {error}"]
    if found["left_out"]:
        lines += ["", f"No time was left for: {', '.join(found['left_out'])}."]
    return "\n".join(lines) + "\n"


def _packing(rows: list[dict[str, Any]]) -> list[str]:
    alone = rows[0]["examples_per_second"]
    lines = ["| jobs on one GPU | examples/s, all | of one alone | busy | memory, GB | bits |"]
    lines.append("|---|---|---|---|---|---|")
    for row in rows:
        busy = f"{row['busy']:.0%}" if "busy" in row else "not known"
        memory = f"{row['bytes'] / 1e9:.1f}" if "bytes" in row else "not known"
        same = "as alone" if row["digests"] == rows[0]["digests"] else "**others**"
        rate = row["examples_per_second"]
        lines.append(
            f"| {row['jobs']} | {rate:.0f} | {rate / alone:.2f} | {busy} | {memory} | {same} |"
        )
    return lines


def _training(part: dict[str, Any]) -> list[str]:
    lines = [
        f"**{part['workload']}**, {part['examples']} examples; times in those of logits + hidden + "
        f"attention in the same precision: median (least to most).",
        "",
        "| | examples/s | ms a step | time, in ours |",
        "|---|---|---|---|",
    ]
    for name, row in part["rows"].items():
        to = row["to_ours"]
        lines.append(
            f"| {name} | {row['examples_per_second']:.0f} "
            f"| {1000 * statistics.median(row['seconds']):.1f} "
            f"| {to['median']:.2f} ({to['least']:.2f} to {to['most']:.2f}) |"
        )
    for peer, (ours, theirs) in part["losses"].items():
        lines.append(f"Loss of one batch: {ours:.6f} here, {theirs:.6f} in {peer}.")
    return lines
