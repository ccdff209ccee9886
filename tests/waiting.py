"""Waiting for what other processes do, comparing what they left, and signals at an instant of one's choice."""

import json
import os
import pkgutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def signal_after(name: str, number: int, due: int = 1, put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have this process get a signal, once, as the so-manieth call of a function returns.

    The function is named by where it is looked up, ``module.function`` or ``module.Class.method``; ``put`` puts
    the watched one in its place, such as pytest's ``monkeypatch.setattr``.
    """
    owner, _, last = name.rpartition(".")
    place, calls = pkgutil.resolve_name(owner), 0
    real = getattr(place, last)

    def watched(*arguments, **named):
        nonlocal calls
        returned = real(*arguments, **named)
        calls += 1
        if calls == due:
            os.kill(os.getpid(), number)
        return returned

    put(place, last, watched)
