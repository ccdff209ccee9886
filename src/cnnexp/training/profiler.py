"""The profiler of a run that isn't profiled."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch.profilers import Profiler


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
