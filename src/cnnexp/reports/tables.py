"""Tables: as text for the terminal, and as CSV files."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def in_columns(rows: Sequence[Sequence[str]], align: str, rule: bool = False, gap: int = 2) -> str:
    """Return rows as lines of text whose cells stand below each other.

    Args:
        rows: of equally many cells; a header, if there is one, is the first.
        align: one letter a column, l (left) or r (right).
        rule: whether a line is drawn below the first row.
        gap: spaces between two columns.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        (" " * gap)
        .join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        )
        .rstrip()
        for row in rows
    ]
    if rule:
        lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows as CSV below one header line; None is an empty cell.

    Args:
        rows: each with the same keys.
        columns: these keys, in order; needed where there may be no rows.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, list(columns or rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as a CSV file; see `as_csv`."""
    path.write_text(as_csv(rows, columns), encoding="utf-8", newline="")


def final_table(result: Mapping[str, Any], folder: Path) -> str:
    """Return the numbers that a run ends with, and where its files lie."""
    rows = [["", "loss", "accuracy"]]
    # tta: the test with test-time augmentation
    for part, suffix in (("train", ""), ("val", ""), ("test", ""), ("test", "_tta")):
        loss, accuracy = result.get(f"{part}_loss{suffix}"), result.get(f"{part}_accuracy{suffix}")
        if loss is not None and accuracy is not None:
            rows.append([f"{suffix[1:] or part:6}", f"{loss:7.4f}", f"{accuracy:.2%}"])
    lines = [in_columns(rows, "lrr", gap=3)]
    if result.get("best_epoch") is not None:
        lines.append(
            f"best epoch {result['best_epoch']} of {result['epochs']}, "
            f"generalization gap {100 * result['generalization_gap']:.2f} points"
        )
    return "\n".join([*lines, f"files: {shown(folder)}"])


def thousands(number: int | None) -> str:
    """Return a count with commas between its thousands; an empty text for None."""
    return "" if number is None else f"{number:,}"


def interval(row: Mapping[str, Any]) -> str:
    """Return the bounds ``low`` and ``high`` of an accuracy's interval in per cent."""
    return f"{row['low']:.2%} to {row['high']:7.2%}"


def shown(folder: Path) -> Path:
    """Return a path as a person would type it: relative to the current folder, where it lies below that."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
