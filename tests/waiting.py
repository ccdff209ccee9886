"""Waiting for what other processes do, and comparing what they left."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch


def until(condition: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something is so; fail if it takes unreasonably long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so after {seconds:.0f} s"
        time.sleep(0.05)


def statuses(sweep: Path) -> dict[str, str]:
    """Each job's status."""
    found = sorted(sweep.glob("*/result.json"))
    return {path.parent.name: json.loads(path.read_text())["status"] for path in found}


def epochs(run: Path) -> int:
    """How many epochs a run has behind it."""
    metrics = run / "metrics.csv"
    return metrics.read_text().count("\n") - 1 if metrics.exists() else 0


def same_weights(one: Path, other: Path) -> bool:
    mine, theirs = (torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (one, other))
    return all(torch.equal(mine["state_dict"][name], theirs["state_dict"][name]) for name in mine["state_dict"])
