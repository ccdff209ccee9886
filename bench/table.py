"""The benchmark's tables, in Markdown: readable in a terminal and ready for a page."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a setting: milliseconds a step, cnnexp's ratios, peak memory, and whether weights agree."""
    lines = [
        "| model | batch | precision | notebook ms | tuned ms | cnnexp ms | faster than notebook | × tuned "
        "| peak MiB (notebook / tuned / cnnexp) | same weights |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        step, against = row["ms_per_step"], row["against"]
        faster = f"{1 / against['notebook']:.2f}×" if "notebook" in against else ""
        memory = " / ".join(_number(row["peak_mib"].get(name), ".0f") for name in ("notebook", "tuned", "cnnexp"))
        lines.append(
            f"| {row['model']} | {row['batch_size']} | {row['precision']} | {_number(step.get('notebook'))} "
            f"| {_number(step['tuned'])} | {_number(step['cnnexp'])} | {faster} | {against['tuned']:.2f} "
            f"| {memory} | {'yes' if row['same_weights'] else 'no'} |"
        )
    return "\n".join(lines)


def accuracy_table(readings: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a line a contender: the seconds until it was there, and the accuracies."""
    lines = ["| 99 % on MNIST's test set | seconds, start-up included | test accuracy |", "| --- | --- | --- |"]
    for name, taken in readings.items():
        seconds = statistics.median(reading["seconds"] for reading in taken)
        reached = ", ".join(f"{reading['accuracy']:.2%}" for reading in taken)
        lines.append(f"| {name} | {seconds:.1f} | {reached} |")
    return "\n".join(lines)


def cost_table(costs: Mapping[str, float]) -> str:
    """Return a line a cost, in seconds of wall time."""
    return "\n".join(["| what | seconds |", "| --- | --- |", *(f"| {k} | {v:.2f} |" for k, v in costs.items())])


def _number(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None else format(value, form)
