"""Tables: as text for the terminal, and as CSV files."""

import csv
import io
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDTH = 80  # characters in a line of the terminal
INTERVAL = "{low:.2%} to {high:7.2%}"  # how the bounds of an accuracy's interval are shown


def in_columns(rows: Sequence[Sequence[str]], align: str, rule: bool = False, gap: int = 2) -> str:
    """Return rows of equally many cells, a header among them, as lines of text with the columns ``gap`` apart.

    ``align`` has one letter a column, l (left) or r (right); ``rule`` draws a line below the first row.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        places = zip(row, widths, align, strict=True)
        cells = [cell.ljust(width) if side == "l" else cell.rjust(width) for cell, width, side in places]
        lines.append((" " * gap).join(cells).rstrip())
    if rule:
        lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join(lines)


def as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Return rows, of the same keys, as CSV below a line of these; None is an empty cell.

    ``columns`` are the keys, needed where there may be no rows.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, list(columns or rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Return a text that a spreadsheet would take for a formula behind an apostrophe, and all else as it is."""
    if not isinstance(value, (str, Path)) or not str(value).startswith(("=", "+", "-", "@", "\t", "\r")):
        return value
    try:
        float(str(value))
    except (ValueError, TypeError):
        return f"'{value}"
    return value


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write rows as a CSV file; see `as_csv`."""
    path.write_text(as_csv(rows, columns), encoding="utf-8", newline="")


def final_table(result: Mapping[str, Any], folder: Path, *told: str | None) -> str:
    """Return the numbers that a run ends with, what is told of them, and where its files lie."""
    rows = [["", "loss", "accuracy"]]
    # tta: the test with test-time augmentation
    for part, suffix in (("train", ""), ("val", ""), ("test", ""), ("test", "_tta")):
        loss, accuracy = result.get(f"{part}_loss{suffix}"), result.get(f"{part}_accuracy{suffix}")
        if loss is not None and accuracy is not None:
            rows.append([f"{suffix[1:] or part:6}", f"{loss:7.4f}", f"{accuracy:.2%}"])
    measured, trained = result.get("train_eval_images"), result.get("train_images")
    lines = [in_columns(rows, "lrr", gap=3)]
    if result.get("best_epoch") is not None:
        lines.append(
            f"best epoch {result['best_epoch']} of {result['epochs']}, "
            f"generalization gap {100 * result['generalization_gap']:.2f} points"
        )
    if measured is not None and trained is not None and measured < trained:
        lines.append(f"train: measured on {measured:,} of the {trained:,} training images")
    for text in filter(None, told):
        lines += textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join([*lines, f"files: {shown(folder)}"])


def shown(folder: Path) -> Path:
    """Return a path as a person would type it: relative to the current folder, where it lies below that."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
