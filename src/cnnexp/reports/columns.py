"""Rows of text in columns that line up."""

from collections.abc import Sequence


def in_columns(rows: Sequence[Sequence[str]], align: str) -> str:
    """Return rows as text, the first being the header.

    Args:
        rows: of equally many cells.
        align: one letter a column, l or r.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(align))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if side == "l" else cell.rjust(width)
            for cell, width, side in zip(row, widths, align, strict=True)
        ).rstrip()
        for row in rows
    )


def thousands(number: int | None) -> str:
    """Return a count with its thousands set apart; an empty text for None."""
    return "" if number is None else f"{number:,}"
