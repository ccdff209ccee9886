"""A profiler that costs nothing, for runs that aren't profiled, and the folder that the others write to."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import profilers
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

_NAMED: dict[str, type[Profiler]] = {
    "simple": profilers.SimpleProfiler,
    "advanced": profilers.AdvancedProfiler,
    "pytorch": profilers.PyTorchProfiler,
}


class NoProfiler(PassThroughProfiler):
    """Measure nothing, at no cost; Lightning's own makes a generator about twenty times a step."""

    _nothing: AbstractContextManager[Any] = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[Any]:  # type: ignore[override]
        """Return the one context that does nothing."""
        return self._nothing


def profiler_into(profiler: str | Profiler, folder: Path) -> Profiler:
    """Return a profiler that writes its reports into a folder, unless it already has one.

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
        # without a file name Lightning prints the report instead
        profiler.filename = profiler.filename or "profile"
    return profiler
