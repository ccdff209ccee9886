"""Which validation is the best: the one rule, for the checkpoint that is kept and for what is told of it."""

import math
from collections.abc import Mapping


def rank(row: Mapping[str, float]) -> tuple[float, float]:
    """Return what a validation is compared by: its accuracy, and of equal ones the loss, the lowest first."""
    return row.get("val_accuracy", -math.inf), -row.get("val_loss", math.inf)
