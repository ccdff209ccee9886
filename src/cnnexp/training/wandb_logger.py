"""Weights & Biases."""

import io
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch import loggers
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from PIL import Image

from cnnexp.reports.tables import shown
from cnnexp.training.loggers import Status, named
from cnnexp.training.tracker import PROJECT, Tracker, name_and_group

log = logging.getLogger(__name__)


class WandbLogger(Tracker, loggers.WandbLogger):
    """Lightning's, with TensorBoard's names, epochs as the x axis, and a run that ends with ours.

    Args:
        folder: of the tracker in the run's folder, called ``wandb``; W&B writes its files there.
        offline: write files alone, which ``wandb sync`` uploads later; otherwise the environment
            (``WANDB_MODE``) decides, and where it says nothing all is uploaded at once.
        project: the project's name.
        name: of the run; its folder's unless given.
        group: of runs; the sweep's name unless given.
        **others: Lightning's further arguments, and those of ``wandb.init``: entity, tags, notes …
    """

    def __init__(
        self,
        folder: str | Path,
        offline: bool = True,
        project: str = PROJECT,
        name: str | None = None,
        group: str | None = None,
        **others: Any,
    ) -> None:
        self.folder = Path(folder)
        self.uploads = not offline
        title, sweep = name_and_group(self.folder.parent)
        # Lightning's `offline` would leave WANDB_MODE behind for the next run of this process
        if offline:
            others |= {"mode": "offline", "settings": wandb.Settings(silent=True)}
        super().__init__(
            name=name or title, group=group or sweep, project=project, id=self.recorded_id,
            save_dir=str(self.folder.parent), **others,
        )  # fmt: skip
        del self._wandb_init["anonymous"]  # Lightning gives it, and W&B says each time that it is of no use

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """W&B's run, begun at its first use."""
        # not Lightning's: it would take the run that another logger of this process has open, and count steps
        if self._experiment is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._experiment = wandb.init(**self._wandb_init)
            self._experiment.define_metric("epoch")
            self._experiment.define_metric("*", step_metric="epoch")
            self._record_id(self._experiment.id)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write metrics by the names that TensorBoard has for them, at their epoch."""
        self.experiment.log({**named(metrics), **({} if step is None else {"epoch": int(step)})})

    @rank_zero_only
    def start_again(self, history: Sequence[Mapping[str, float]]) -> None:
        """Go on with the run of the same id; one that was never uploaded is written anew, epochs behind it too."""
        number = self.recorded_id
        if number is not None and self.uploads:
            return  # the server has its epochs
        for earlier in self.folder.glob(f"offline-run-*-{number}"):
            shutil.rmtree(earlier)
        for row in history:
            self.log_metrics(row, int(row["epoch"]))

    @rank_zero_only
    def log_settings(self, text: str) -> None:
        """Add all settings, given as YAML, to the run's files."""
        (Path(self.experiment.dir) / "settings.yaml").write_text(text, encoding="utf-8")

    @rank_zero_only
    def log_png(self, tag: str, image: bytes, step: int) -> None:
        """Show an image, given as a PNG file's bytes."""
        self.experiment.log({tag: wandb.Image(Image.open(io.BytesIO(image))), "epoch": step})

    def close(self, status: Status = "completed") -> None:
        """End the run, and say how an offline one is uploaded."""
        if self._experiment is None:
            return
        if status == "completed":
            loggers.WandbLogger.finalize(self, "success")  # uploads checkpoints, where log_model asks for them
        files = Path(self._experiment.dir).parent
        self._experiment.finish(exit_code=0 if status == "completed" else 1)
        self._experiment = None
        if not self.uploads:
            log.info("W&B, offline: wandb sync %s", shown(files))
