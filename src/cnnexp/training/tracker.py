"""What the loggers of experiment trackers have in common, beside Lightning's own that they are made of."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_only

from cnnexp.training.loggers import Board, flatten, named

log = logging.getLogger(__name__)

PROJECT = "cnnexp"
_ID = "run_id"


class Tracker(Board):
    """A board whose run has a name, a group and an id of the tracker's own, kept in the run's folder.

    To be put before a logger of Lightning's among the bases of a class: that one does the logging.

    Attributes:
        folder: where the tracker's files and the id are, a folder in the run's.
    """

    folder: Path
    _described = False

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Record the settings of the run; the first call counts, so that Lightning's own doesn't add to it."""
        if not self._described:
            self._described = True
            super().log_hyperparams(flatten(params))  # type: ignore[safe-super]

    def log_epoch(self, epoch: int, row: Mapping[str, float]) -> None:
        """Write an epoch's numbers by the names that TensorBoard has for them."""
        self.log_metrics(named(row), epoch)

    def finalize(self, status: str = "success") -> None:
        """Do nothing: the test comes after Lightning's first call; see `close`."""

    @property
    def recorded_id(self) -> str | None:
        """The id of the run that was begun in this folder, None where none was."""
        file = self.folder / _ID
        return file.read_text().strip() if file.is_file() else None

    @rank_zero_only
    def _record_id(self, number: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / _ID).write_text(f"{number}\n")


def name_and_group(run: Path) -> tuple[str, str | None]:
    """Return what a tracker calls a run, and its sweep's name, None for a single run.

    A run is called by its folder and the one above it, ``cnn-digits/2026-01-31_12-00-00``; in a sweep by what sets
    it apart from the others, ``seed-0``, and the group is the sweep, ``adhoc/2026-01-31_12-00-00``.
    """
    sweep, run = run.absolute().parent, run.absolute()
    if (sweep / "multirun.yaml").is_file():
        return run.name, f"{sweep.parent.name}/{sweep.name}"
    return f"{sweep.name}/{run.name}", None
