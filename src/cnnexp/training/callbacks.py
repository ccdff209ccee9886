"""Callbacks that a run from the command line has, and a notebook may borrow."""

import logging
import math
import signal
import sys
from types import FrameType
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Checkpoint, EMAWeightAveraging, TQDMProgressBar
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.plugins.precision import DoublePrecision
from torch import Tensor
from tqdm import tqdm

from cnnexp.contract import can_skip
from cnnexp.distributed import AGREE_EVERY, highest, several
from cnnexp.errors import Stopped
from cnnexp.interrupts import USUAL, Interrupted, received, stop_signals
from cnnexp.seeds import mix
from cnnexp.training.checkpoints import save_last

log = logging.getLogger(__name__)


class ProgressBar(TQDMProgressBar):
    """Lightning's progress bar: at a terminal only, for training only, and rarely enough to cost nothing."""

    def __init__(self) -> None:
        super().__init__(leave=False)
        if not sys.stdout.isatty():
            self.disable()

    def on_train_start(self, *args: Any) -> None:
        """Settle on about fifty refreshes an epoch."""
        self._refresh_rate = max(1, int(self.trainer.num_training_batches) // 50)
        super().on_train_start(*args)

    def init_train_tqdm(self) -> Any:
        """Leave nothing behind at the end."""
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def init_validation_tqdm(self) -> Any:
        """Show nothing: evaluation takes a fraction of training's time."""
        return tqdm(disable=True)

    init_test_tqdm = init_validation_tqdm

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Count epochs from one, as everything else here does."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"epoch {trainer.current_epoch + 1}")

    def on_train_epoch_end(self, *args: Any) -> None:
        """Make room for the epoch's line."""
        super().on_train_epoch_end(*args)
        self.train_progress_bar.clear()

    def get_metrics(self, *args: Any) -> dict[str, Any]:
        """Show none: a number read back from the device each time would slow the device down."""
        return {}


class SeedSteps(L.Callback):
    """Make what a step draws at random (dropout) a function of the seed, the epoch and the batch.

    Then nothing depends on what ran before, and a checkpoint needs no state of a random number generator. Of
    several processes each draws its own.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._begun = False

    def on_train_start(self, *args: Any) -> None:
        """Take note that the next epoch is this process's first."""
        self._begun = False

    def on_train_epoch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Make the order of a torch DataLoader, which it draws as its iteration begins, one of seed and epoch."""
        if can_skip(trainer.train_dataloader):  # ours draws by itself
            return
        torch.default_generator.manual_seed(mix(self.seed, trainer.current_epoch))
        if not self._begun:  # Lightning began this iteration before, and begins each of the others after this hook
            iter(cast(Any, trainer.fit_loop)._data_fetcher)
        self._begun = True

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the generator of the device of training."""
        # the generator's own method: torch.manual_seed visits every backend and costs 90 times as much
        rank = trainer.global_rank
        seed = mix(self.seed, trainer.current_epoch, batch_idx, *([rank] if rank else []))
        if pl_module.device.type == "cuda":
            torch.cuda.default_generators[pl_module.device.index or 0].manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)


class WarmedUpEMA(EMAWeightAveraging):
    """Lightning's moving average of the weights, which forgets the first ones sooner.

    An update keeps the share min(``decay``, (1 + t) / (10 + t)) of the average after t updates, as TensorFlow's
    ExponentialMovingAverage does: with a share of 0.999 the untrained weights would weigh for thousands of steps.

    Args:
        decay: share of the average that an update keeps, in [0, 1].
        update_every_n_steps: steps of the optimizer between updates.
        update_starting_at_step: step before which nothing is averaged.
        update_starting_at_epoch: epoch before which nothing is averaged.
    """

    def __init__(
        self,
        decay: float = 0.999,
        update_every_n_steps: int = 1,
        update_starting_at_step: int | None = None,
        update_starting_at_epoch: int | None = None,
    ) -> None:
        super().__init__(
            decay=decay, update_every_n_steps=update_every_n_steps,
            update_starting_at_step=update_starting_at_step, update_starting_at_epoch=update_starting_at_epoch,
        )  # fmt: skip
        self.decay = decay
        self._kwargs["avg_fn"] = self._average

    def _average(self, average: Tensor, current: Tensor, updates: Tensor | int) -> Tensor:
        kept = min(self.decay, (1 + float(updates)) / (10 + float(updates)))
        return kept * average + (1 - kept) * current

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Make the average as precise as the weights, which trade places with it to be validated."""
        if isinstance(trainer.precision_plugin, DoublePrecision):
            pl_module.double()  # Lightning does so only later
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Say so where training is too short for the average to forget its beginning."""
        steps, memory = int(trainer.estimated_stepping_batches) // self.update_every_n_steps, 1 - self.decay
        if steps * memory < 1:
            log.warning(
                "callbacks.ema.decay=%g averages over %.0f updates, and this run has %d;\n"
                "type less, such as callbacks.ema.decay=%.2g",
                self.decay, 1 / memory if memory else math.inf, steps, max(0.5, 1 - 10 / max(steps, 20)),
            )  # fmt: skip


class StaysStopped(L.Callback):
    """A run that early stopping had ended, and that is gone on with, trains no further."""

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Ask what the checkpoint's early stopping says; until ``min_epochs`` Lightning trains on all the same."""
        if any(c.stopping_reason is not EarlyStoppingReason.NOT_STOPPED for c in trainer.early_stopping_callbacks):
            trainer.should_stop = True
            if trainer.fit_loop._can_stop_early:
                log.info("early stopping had ended training in epoch %d", len(cast(Any, module).history))


class StopAfterEpoch(L.Callback):
    """Leave training by `Stopped` before the first batch of an epoch that isn't to be trained now.

    The epoch before it is saved and logged by then, and training that has come to its end isn't asked. A resume
    goes on bit for bit.

    Args:
        epoch: how many epochs are trained.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: L.Trainer, *args: Any) -> None:
        """Leave, where so many epochs are behind the run."""
        if trainer.current_epoch >= self.epoch:
            raise Stopped(trainer.current_epoch)


class StopOnSignal(Checkpoint):
    """On the first SIGINT, SIGTERM or SIGHUP, finish the batch and save; on a second SIGINT, stop at once.

    Any other signal that `raise_on_signals` was given, such as a cluster's, counts as the first. Validation can't
    be resumed in the middle, so it is finished and saved with its epoch. Put this last among the callbacks, so
    that what it saves holds what the others did with the batch.

    Where one of several processes gets the signal, all stop at the next batch at which they ask each other.
    """

    # a Checkpoint, because Lightning calls those after all other callbacks

    def __init__(self) -> None:
        self.received: int | None = None
        self._own: int | None = None
        self._several = False
        self._before: dict[int, Any] = {}

    def on_train_start(self, *args: Any, **kwargs: Any) -> None:
        """Replace the signals' handlers, Lightning's too."""
        self._several = several()
        if self._own is None:
            self._own = received()  # the exception got lost on the way
        # as a loop starts, because Lightning installs its own handlers after setup
        for number in stop_signals():
            if number not in self._before and signal.getsignal(number) != signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)

    on_test_start = on_train_start

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._own is None:
            self._own = number
        elif number == signal.SIGINT:
            raise Interrupted(number)
        elif number not in USUAL:
            # a cluster sends SIGTERM beside its own signal, which alone says that the job will be resumed
            self._own = number

    def _ask(self, trainer: L.Trainer, batch_idx: int | None = None) -> None:
        """Note a signal, at the same batch in all processes."""
        if not self._several:
            self.received = self._own
        elif batch_idx is None or (batch_idx + 1) % AGREE_EVERY == 0:
            self.received = highest(self._own or 0, trainer.strategy.root_device) or None

    def _leave(self) -> None:
        if self.received is not None:
            raise Interrupted(self.received)

    def on_train_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop training if a signal came; an epoch's last batch is saved with the epoch."""
        self._ask(trainer, batch_idx)
        if self.received is not None and batch_idx + 1 < trainer.num_training_batches:
            save_last(trainer)
            self._leave()

    def on_train_epoch_end(self, trainer: L.Trainer, *args: Any, **kwargs: Any) -> None:
        """Leave training if a signal came; the epoch is saved."""
        self._ask(trainer)
        self._leave()

    def on_test_batch_end(
        self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        """Leave the test if a signal came."""
        self._ask(trainer, batch_idx)
        self._leave()

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Put the former handlers back."""
        while self._before:
            number, handler = self._before.popitem()
            # where Lightning has already put back what was there before it, setting its handler again would keep
            # the Trainer and the network in memory
            if signal.getsignal(number) == self._note:
                signal.signal(number, handler)
