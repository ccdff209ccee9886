"""Comet."""

import io
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Comet would otherwise log what torch does as well; it reads this as it is imported
os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")

import comet_ml  # noqa: F401  (here, so that a missing package is found out before a run begins)
from lightning.pytorch import loggers
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from PIL import Image

from cnnexp.reports.tables import shown
from cnnexp.training.loggers import Status, named
from cnnexp.training.tracker import PROJECT, Tracker, name_and_group

log = logging.getLogger(__name__)


class CometLogger(Tracker, loggers.CometLogger):
    """Lightning's, with TensorBoard's names, and a run that ends with ours.

    Args:
        folder: of the tracker in the run's folder; an offline run is an archive there.
        online: upload at once, as the user of ``comet login``; otherwise ``comet upload`` does later.
        project: the project's name.
        name: of the run; its folder's unless given.
        tags: further tags; the sweep's name is one.
        **others: Lightning's further arguments, and those of ``comet_ml.ExperimentConfig``.
    """

    _begins = False

    def __init__(
        self,
        folder: str | Path,
        online: bool = False,
        project: str = PROJECT,
        name: str | None = None,
        tags: Sequence[str] = (),
        **others: Any,
    ) -> None:
        self.folder = Path(folder)
        title, sweep = name_and_group(self.folder.parent)
        number = self.recorded_id
        # an archive is written when a run ends: one that was killed left none
        self.goes_on = number is not None and (online or any(self.folder.glob(f"{number}*.zip")))
        if not online:
            logging.getLogger("comet_ml").setLevel(logging.ERROR)  # its summary, and that it found no network
        super().__init__(
            project=project, name=name or title, tags=[*tags, *([sweep] if sweep else [])],
            experiment_key=number, mode="get" if self.goes_on else "create", offline_directory=str(self.folder),
            **{"parse_args": False, **others},
        )  # fmt: skip
        # not given to Lightning 2.6, which disables what is offline: nothing would be written
        self._online = online
        self._begins = True

    def _create_experiment(self) -> None:
        # Lightning begins the run as the logger is made, and a job that failed before its training would leave
        # it open for the next
        if self._begins:
            self.folder.mkdir(parents=True, exist_ok=True)
            super()._create_experiment()
            self._record_id(str(self._experiment_key))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Write metrics by the names that TensorBoard has for them, at their epoch."""
        epoch = {} if step is None else {"epoch": int(step)}
        loggers.CometLogger.log_metrics(self, {**named(metrics), **epoch}, step)

    @rank_zero_only
    def start_again(self, history: Sequence[Mapping[str, float]]) -> None:
        """Go on with the recorded run; one that was lost is written anew, with the epochs behind it."""
        for row in () if self.goes_on else history:
            self.log_metrics(row, int(row["epoch"]))

    @rank_zero_only
    def log_settings(self, text: str) -> None:
        """Add all settings, given as YAML, to the run's assets."""
        self.experiment.log_asset_data(text, name="settings.yaml")

    @rank_zero_only
    def log_png(self, tag: str, image: bytes, step: int) -> None:
        """Show an image, given as a PNG file's bytes."""
        self.experiment.log_image(Image.open(io.BytesIO(image)), name=tag, step=step)

    def close(self, status: Status = "completed") -> None:
        """End the run, and say how an offline one is uploaded."""
        if self._experiment is None:
            return
        self._experiment.log_other("status", status)
        self._experiment.end()
        self._experiment = None
        for archive in sorted(self.folder.glob(f"{self._experiment_key}*.zip")):
            log.info("Comet, offline: comet upload %s", shown(archive))
