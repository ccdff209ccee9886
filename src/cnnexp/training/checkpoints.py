"""Checkpoints that are whole or not there, and that can't run code."""

import copy
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import lightning as L
import torch
from annotated_types import Ge, Gt
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cnnexp.contract import can_skip
from cnnexp.disk import new_file
from cnnexp.distributed import AGREE_EVERY, highest
from cnnexp.errors import CnnexpError
from cnnexp.whole import check_whole, seal

FOLDER = "checkpoints"
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"


class WholeCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target, flush it to the disk, read it back, then rename it.

    Whatever instant a process dies at, each name holds a whole checkpoint or none. Lightning's own writer
    passes through the system's temporary folder, which may lie on another disk, and doesn't flush. Before
    ``last.ckpt`` is replaced it becomes ``previous.ckpt``.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path``; raises OSError (disk full, not allowed) with ``path`` untouched."""
        target = Path(path)
        # without parents: if the run's folder was removed, saving must fail
        target.parent.mkdir(exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with new_file(temporary) as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            seal(temporary)
            # checks the archive's directory and that its pickle holds data only; mmap leaves the tensors unread
            torch.load(temporary, map_location="meta", weights_only=True, mmap=True)
            if target.name == LAST and target.exists():
                os.replace(target, target.with_name(PREVIOUS))
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, tensors and plain values only."""
        if Path(path).is_file():
            check_whole(path)
        return super().load_checkpoint(path, map_location or (lambda storage, _: storage), weights_only=True)


def save_last(trainer: L.Trainer) -> None:
    """Save ``last.ckpt`` in the run's folder, at the current batch.

    Not where the training loader can't go on from there: the checkpoint of the last whole epoch stays.
    """
    if can_skip(trainer.train_dataloader):
        trainer.save_checkpoint(Path(trainer.default_root_dir) / FOLDER / LAST)


class SaveEvery(Checkpoint):
    """Save ``last.ckpt`` within long epochs too, every so many minutes or steps (batches).

    A run is then resumed in the middle of the epoch, bit for bit.
    """

    def __init__(
        self, minutes: Annotated[float, Gt(0)] | None = None, steps: Annotated[int, Ge(1)] | None = None
    ) -> None:
        if minutes is None and steps is None:
            raise CnnexpError("give minutes or steps")
        self.minutes = minutes
        self.steps = steps
        self._saved = time.monotonic()

    def on_train_start(self, *args: Any) -> None:
        """Start the clock."""
        self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time; the epoch's last batch is saved with the epoch."""
        done = batch_idx + 1
        due = (self.steps is not None and done % self.steps == 0) or self._time_is_up(trainer, batch_idx)
        if due and done < trainer.num_training_batches:
            save_last(trainer)
            self._saved = time.monotonic()

    def _time_is_up(self, trainer: L.Trainer, batch_idx: int) -> bool:
        if self.minutes is None or (trainer.world_size > 1 and batch_idx % AGREE_EVERY):
            return False
        over = time.monotonic() - self._saved >= 60 * self.minutes
        # all processes save together, but their clocks differ: go by the latest
        return bool(highest(over, trainer.strategy.root_device))


class KeptCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, for a run whose folder may have been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, with the paths of the folder as it is now."""
        # Lightning drops the score when the folder has another name
        here = str(self.dirpath)

        def moved(path: str) -> str:
            return os.path.join(here, os.path.basename(path)) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        state = {**state_dict, "dirpath": here, **{key: moved(state_dict[key]) for key in paths}}
        state["best_k_models"] = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state)
        self.current_score = state_dict["current_score"]


class BestCheckpoint(KeptCheckpoint):
    """Of validations that are equally accurate, the one with the lowest loss is kept, the first of equals."""

    _loss = float("inf")

    def check_monitor_top_k(self, trainer: L.Trainer, current: Tensor | None = None) -> bool:
        """Whether the weights just validated are the best so far."""
        loss = float(trainer.callback_metrics.get("val_loss", float("inf")))
        tie = current is not None and self.best_model_score is not None and bool(current == self.best_model_score)
        better = (loss < self._loss) if tie else super().check_monitor_top_k(trainer, current)
        if better:
            self._loss = loss
        return better

    def state_dict(self) -> dict[str, Any]:
        """Return Lightning's state and the loss of the best."""
        return {**super().state_dict(), "loss": self._loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore both."""
        super().load_state_dict(state_dict)
        self._loss = state_dict.get("loss", float("inf"))


class LastCheckpoint(KeptCheckpoint):
    """``last.ckpt`` of each epoch, and of one within which training ends as of its middle.

    Gone on with from there, the run is what it would have been without the end.
    """

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save; the network marks what it saves as the middle of an epoch where it is."""
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch or not can_skip(trainer.train_dataloader):
            super().on_train_epoch_end(trainer, pl_module)
        else:
            save_last(trainer)


class EndWithinEpoch(Checkpoint):
    """Validate where ``max_steps``, ``max_time`` or a callback ends training within an epoch.

    A longer training would have had no validation there, and a resume goes on with one: for plateaus and for early
    stopping it doesn't count.
    """

    # a Checkpoint, because Lightning calls those after all other callbacks

    def __init__(self) -> None:
        self._every: int | None = None
        self._ended = False
        self._before: Callable[[], None] | None = None

    def on_train_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Note what the Trainer was told."""
        self._every, self._ended, self._before = trainer.check_val_every_n_epoch, False, None

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Have Lightning validate at once."""
        over = trainer.should_stop or 0 <= trainer.max_steps <= trainer.global_step
        if over and batch_idx + 1 < trainer.num_training_batches and not self._ended:
            self._ended = True
            self._before = None if self._is_due(trainer, batch_idx) else _put_back(trainer)
            trainer.should_stop = True
            if self._every is not None:
                trainer.check_val_every_n_epoch = 1

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Take back what schedules and early stopping made of the added validation, before that is saved."""
        if self._before is not None:
            self._before()

    def _is_due(self, trainer: L.Trainer, batch_idx: int) -> bool:
        """Return whether a validation comes here in any case, as ``val_check_interval`` says."""
        if self._every is None:
            batch_idx = trainer.fit_loop.total_batch_idx
        elif (trainer.current_epoch + 1) % self._every:
            return False
        return (batch_idx + 1) % float(trainer.val_check_batch or math.inf) == 0

    def on_train_end(self, trainer: L.Trainer, *args: Any) -> None:
        """Leave the Trainer as it was told to be."""
        trainer.check_val_every_n_epoch = self._every


def _put_back(trainer: L.Trainer) -> Callable[[], None]:
    """Return what puts plateaus, their optimizers' rates and early stopping back to where they are now."""
    configs = [c for c in trainer.lr_scheduler_configs if isinstance(c.scheduler, ReduceLROnPlateau)]
    plateaus = [(config.scheduler, copy.deepcopy(config.scheduler.state_dict())) for config in configs]
    rates = [(group, group["lr"]) for config in configs for group in config.scheduler.optimizer.param_groups]
    stoppings = [callback for callback in trainer.early_stopping_callbacks if isinstance(callback, EarlyStopping)]
    states = [(callback, copy.deepcopy(callback.state_dict())) for callback in stoppings]

    def put_back() -> None:
        for owner, state in (*plateaus, *states):
            owner.load_state_dict(state)
        for group, rate in rates:
            group["lr"] = rate

    return put_back


def checkpoint_callbacks(folder: Path) -> list[ModelCheckpoint]:
    """Return Lightning's callbacks that keep ``best.ckpt`` (validation accuracy) and ``last.ckpt``."""
    best = BestCheckpoint(
        folder, Path(BEST).stem, monitor="val_accuracy", mode="max", enable_version_counter=False,
        save_on_train_epoch_end=False,  # but with each validation, the weights that were measured
    )  # fmt: skip
    # after the epoch's row is complete: a checkpoint made right after validation would be resumed without the
    # epoch's numbers
    last = LastCheckpoint(folder, Path(LAST).stem, enable_version_counter=False, save_on_train_epoch_end=True)
    return [best, last]
