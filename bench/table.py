"""The benchmark's tables, in Markdown: readable in a terminal and ready for a page."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

BEGIN, END = "<!-- of python -m bench --page -->", "<!-- end -->"


def speed_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a setting: milliseconds a step, cnnexp's ratios, peak memory, and whether weights agree."""
    lines = [
        "| model | batch | precision | notebook ms | tuned ms | cnnexp ms | faster than notebook | × tuned "
        "| peak MiB (notebook / tuned / cnnexp) | same weights |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        step, against = row["ms_per_step"], row["against"]
        names = ("notebook", "tuned", "cnnexp")
        memory = " / ".join("–" if name not in step else f"{row['peak_mib'][name]:.0f}" for name in names)
        times = [f"{statistics.median(step[name]):.2f}" if name in step else "–" for name in names]
        faster = spread([1 / ratio for ratio in against["notebook"]], "×") if "notebook" in against else ""
        cells = [
            row["model"], row["batch_size"], row["precision"], *times, faster, spread(against["tuned"]), memory,
            "yes" if row["same_weights"] else "no",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def accuracy_table(readings: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return a line a contender: the seconds until it was there, and the accuracies."""
    lines = ["| 99 % on MNIST's test set | seconds, start-up included | test accuracy |", "| --- | --- | --- |"]
    for name, taken in readings.items():
        seconds = spread([reading["seconds"] for reading in taken], form=".1f")
        reached = ", ".join(f"{reading['accuracy']:.2%}" for reading in taken)
        lines.append(f"| {name} | {seconds} | {reached} |")
    return "\n".join(lines)


def cost_table(costs: Mapping[str, Sequence[float]]) -> str:
    """Return a line a cost, in seconds of wall time."""
    return "\n".join(
        ["| what | seconds |", "| --- | --- |", *(f"| {k} | {spread(v)} |" for k, v in costs.items())]
    )


def spread(values: Sequence[float], unit: str = "", form: str = ".2f") -> str:
    """Return the median, and of several values the lowest and the highest in brackets."""
    median = f"{statistics.median(values):{form}}{unit}"
    return median if len(values) == 1 else f"{median} ({min(values):{form}}–{max(values):{form}})"


def into_page(page: str, tables: Sequence[str]) -> str:
    """Return a page with the tables in place of what stands between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n" + "\n\n".join(tables) + f"\n\n{END}{after}"
