"""Profilers: the one of a run that isn't profiled, and where the others write."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch.profilers import AdvancedProfiler, Profiler, PyTorchProfiler, SimpleProfiler

_NAMED: dict[str, type[Profiler]] = {
    "simple": SimpleProfiler,
    "advanced": AdvancedProfiler,
    "pytorch": PyTorchProfiler,
}


class NoProfiler(Profiler):
    """Measure nothing, for nothing.

    Lightning enters ``profile`` about twenty times a step; its own PassThroughProfiler makes a new generator
    each time.
    """

    _nothing: AbstractContextManager[Any] = nullcontext()

    def start(self, action_name: str) -> None:
        """Do nothing."""

    def stop(self, action_name: str) -> None:
        """Do nothing."""

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Return the one context that does nothing."""
        return self._nothing


def profiler_into(profiler: str | Profiler, folder: Path) -> Profiler:
    """Return a profiler whose reports are files in a folder, unless it knows another place for them.

    Args:
        profiler: one of Lightning's, or its name for the Trainer: simple, advanced or pytorch.
        folder: made when there is something to write.

    Raises:
        ValueError: for another name.
    """
    if isinstance(profiler, str):
        if profiler not in _NAMED:
            raise ValueError(f"profiler={profiler}: there is no such profiler; allowed: {', '.join(_NAMED)}")
        profiler = _NAMED[profiler]()
    if profiler.dirpath is None:
        profiler.dirpath = folder
        # without one Lightning prints the report and writes no file
        profiler.filename = profiler.filename or "profile"
    return profiler
