"""Tables for the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def final_table(result: Mapping[str, Any], folder: Path) -> str:
    """Return the numbers that a run ends with, and where its files lie."""
    lines = [f"{'':6}{'loss':>10}{'accuracy':>11}"]
    # tta: the test with test-time augmentation
    for part, suffix in (("train", ""), ("val", ""), ("test", ""), ("test", "_tta")):
        loss, accuracy = result.get(f"{part}_loss{suffix}"), result.get(f"{part}_accuracy{suffix}")
        if loss is not None and accuracy is not None:
            lines.append(f"{suffix[1:] or part:6}{loss:10.4f}{accuracy:11.2%}")
    if result.get("best_epoch") is not None:
        lines.append(
            f"best epoch {result['best_epoch']} of {result['epochs']}, "
            f"generalization gap {100 * result['generalization_gap']:.2f} points"
        )
    lines.append(f"files: {shown(folder)}")
    return "\n".join(lines)


def shown(folder: Path) -> Path:
    """Return a path as a person would type it: from the folder they are in, where it lies below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
