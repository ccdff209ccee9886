"""Lightning's loop over an epoch, with many batches a call where nothing else is to be done between them."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import lightning as L
import torch
from lightning.pytorch.loops.fetchers import _DataLoaderIterDataFetcher
from lightning.pytorch.loops.optimization.automatic import ClosureResult
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor

from cnnexp.models.optimized import Optimized
from cnnexp.training.profiler import NoProfiler

MOST = 64
"""Batches a call: after so many Lightning asks whether a signal came."""

_LIGHTNINGS = ("optimizer_step", "optimizer_zero_grad", "backward", "on_train_batch_start")
"""Methods that decide on the course of a step: a network with one of its own is trained by Lightning's loop."""
_TRANSFER = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")

Hook = Callable[..., Any]


class ManyBatches(_TrainingEpochLoop):
    """Does what Lightning's loop does, whose price for a small network is as high as that of the arithmetic.

    The order is Lightning's: hooks of callbacks and of the network, precision, accumulation, clipping, schedules,
    counters. Left out is what has no effect: hooks that nobody has written, the copy to a device where the batch
    is, questions whose answer can't have changed. Weights, numbers and checkpoints are the same, bit for bit.

    Where ``why_not`` has a reason, Lightning's own loop runs.
    """

    _each: "_Batch | None" = None

    def on_run_start(self, data_fetcher: Any) -> None:
        """Begin an epoch, or go on with one."""
        super().on_run_start(data_fetcher)
        self._each = None if why_not(self.trainer, data_fetcher) else _Batch(self, data_fetcher)

    def advance(self, data_fetcher: Any) -> None:
        """Train on batches until Lightning has something to do between two of them, such as to validate."""
        if self._each is None or self.restarting:
            super().advance(data_fetcher)
            return
        self.val_loop.restarting = False
        for left in reversed(range(self._undisturbed())):
            self._each()
            if not left or self.trainer.should_stop:
                return
            if not self._should_accumulate():  # as on_advance_end does, which comes after the last of these
                self._batches_that_stepped += 1

    def _undisturbed(self) -> int:
        """Return after how many batches, at least one, Lightning is to look at what is due."""
        trainer, progress = self.trainer, self.batch_progress
        most = min(MOST, trainer.num_training_batches - progress.current.ready)
        if self.max_steps >= 0:
            most = min(most, self.max_steps - self.global_step)
        every = trainer.val_check_batch
        if every is not None and math.isfinite(every):
            whole = trainer.check_val_every_n_epoch is None
            most = min(most, every - (progress.total.ready if whole else progress.current.ready) % every)
        return max(1, int(most))


def many_batches(trainer: L.Trainer) -> L.Trainer:
    """Have a Trainer take many batches a call, before it trains, and return it."""
    lightnings = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = ManyBatches(trainer, lightnings.min_steps, lightnings.max_steps)
    return trainer


def why_not(trainer: L.Trainer, data_fetcher: Any) -> str | None:
    """Return what makes Lightning's own loop necessary; None where nothing does."""
    told: Any = trainer  # Lightning's types don't have all that its loops ask
    module, strategy = trainer.lightning_module, trainer.strategy
    own = [name for name in _LIGHTNINGS if is_overridden(name, module, L.LightningModule)]
    schedules = [config for config in trainer.lr_scheduler_configs if config.reduce_on_plateau]
    reasons = {
        "several processes ask each other each batch": trainer.world_size > 1,
        "the strategy wraps the network": strategy.model is not module,
        f"{type(strategy).__name__} steps in its own way": type(strategy).optimizer_step
        is not Strategy.optimizer_step
        or type(strategy).training_step is not Strategy.training_step
        or strategy.handles_gradient_accumulation,
        "the network optimizes by itself": not module.automatic_optimization,
        f"the network has its own {', '.join(own)}": own,
        "a profiler wants to see Lightning's hooks": not isinstance(told.profiler, NoProfiler),
        "each batch's numbers are logged in a trial": told.fast_dev_run,
        "a plateau is asked after each step": any(config.interval == "step" for config in schedules),
        "validation goes by the clock": told._val_check_time_interval is not None,
        "the number of batches isn't known": math.isinf(trainer.num_training_batches),
        "the network fetches its batches": isinstance(data_fetcher, _DataLoaderIterDataFetcher),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


class _Batch:
    """Trains on the next batch when called."""

    def __init__(self, loop: ManyBatches, data_fetcher: Any) -> None:
        self._loop, self._fetcher, self._trainer = loop, data_fetcher, loop.trainer
        self._module: Any = loop.trainer.lightning_module
        self._precision: Any = loop.trainer.precision_plugin
        self._device = loop.trainer.strategy.root_device
        self._optimizer: Any = loop.trainer.optimizers[0]
        self._steps = loop.automatic_optimization.optim_progress.optimizer
        self._connector: Any = loop.trainer._logger_connector
        clip = type(self._module).configure_gradient_clipping
        self._clips = bool(self._trainer.gradient_clip_val) or clip is not Optimized.configure_gradient_clipping
        self._moves = any(_hooked(self._trainer, name) for name in _TRANSFER)
        self._scheduled = any(config.interval == "step" for config in self._trainer.lr_scheduler_configs)
        # Lightning's usual precision wraps nothing; of those with a scaler the scaler decides on the step
        kind: Any = type(self._precision)
        self._plain = kind.optimizer_step is Precision.optimizer_step or (
            kind.optimizer_step is MixedPrecision.optimizer_step
            and getattr(self._precision, "scaler", None) is None
        )
        self._forward: Callable[[], AbstractContextManager[Any]] = self._precision.train_step_context
        if (
            kind.train_step_context is Precision.train_step_context
            and kind.forward_context is Precision.forward_context
        ):
            self._forward = nullcontext
        self._hooks = {
            name: _hooks(self._trainer, name)
            for name in (
                "on_train_batch_start", "on_before_zero_grad", "on_before_backward", "on_after_backward",
                "on_before_optimizer_step", "on_train_batch_end",
            )
        }  # fmt: skip

    def __call__(self) -> None:
        loop, fetcher = self._loop, self._fetcher
        progress = loop.batch_progress
        batch, _, _ = next(fetcher)
        number = progress.current.ready
        progress.is_last_batch = fetcher.done
        batch = self._moved(batch)
        progress.increment_ready()
        self._connector.on_batch_start(batch)
        self._call("on_train_batch_start", batch, number)
        progress.increment_started()
        outputs = self._optimize(batch, number)
        progress.increment_processed()
        if self._scheduled:
            loop.update_lr_schedulers("step", update_plateau_schedulers=False)
        if loop._num_ready_batches_reached():
            loop.update_lr_schedulers("epoch", update_plateau_schedulers=False)
        self._call("on_train_batch_end", outputs, batch, number)
        results = loop._results
        if results:  # something was logged for the step
            self._connector.on_batch_end()
        else:
            results.batch = results.batch_size = None
        progress.increment_completed()
        if results:
            self._connector.update_train_step_metrics()

    def _moved(self, batch: Any) -> Any:
        """Return a batch on the network's device."""
        batch = self._precision.convert_input(batch)
        if (
            not self._moves
            and type(batch) is tuple
            and all(isinstance(part, Tensor) and part.device == self._device for part in batch)
        ):
            return batch
        batch = self._module._on_before_batch_transfer(batch, dataloader_idx=0)
        return self._trainer.strategy.batch_to_device(batch, dataloader_idx=0)

    def _call(self, name: str, *args: Any) -> None:
        """Call a hook of the callbacks and of the network, which may log in it."""
        if hooks := self._hooks[name]:
            module = self._module
            before, module._current_fx_name = module._current_fx_name, name
            for hook in hooks:
                hook(*args)
            module._current_fx_name = before

    def _optimize(self, batch: Any, number: int) -> dict[str, Any]:
        """Take a batch's part in a step of the optimizer, and the step where it is the last part."""
        outputs: dict[str, Any] = {}
        closure = partial(self._backward, batch, number, outputs)
        if self._loop._should_accumulate():
            with torch.enable_grad():
                closure()
            return outputs
        step = self._steps.step
        step.increment_ready()
        if self._plain:
            self._optimizer.step(closure=partial(self._to_step, closure))
        else:
            self._precision.optimizer_step(self._optimizer, model=self._module, closure=closure)
        step.increment_completed()
        return outputs

    def _to_step(self, closure: Callable[[], Tensor | None]) -> Tensor | None:
        loss = closure()
        self._call("on_before_optimizer_step", self._optimizer)
        if self._clips:
            trainer = self._trainer
            self._precision._clip_gradients(
                self._module, self._optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm
            )
        return loss

    def _backward(self, batch: Any, number: int, outputs: dict[str, Any]) -> Tensor | None:
        """Add the gradients of a batch, and return its objective."""
        module, trainer = self._module, self._trainer
        before, module._current_fx_name = module._current_fx_name, "training_step"
        with self._forward():
            output = module.training_step(batch, number)
        module._current_fx_name = before
        together = trainer.accumulate_grad_batches
        if isinstance(output, Tensor):
            objective: Tensor | None = output / together if together > 1 else output
        else:
            objective = (result := ClosureResult.from_training_step_output(output, together)).closure_loss
            outputs.update(result.extra)
        if number % together == 0:
            zeroed = self._steps.zero_grad
            zeroed.increment_ready()
            self._call("on_before_zero_grad", self._optimizer)
            zeroed.increment_started()
            self._optimizer.zero_grad()
            zeroed.increment_completed()
        if objective is None:
            return None
        outputs["loss"] = objective.detach()
        if not self._plain:
            trainer.strategy.backward(objective, self._optimizer)
        else:
            self._call("on_before_backward", objective)
            objective.backward()
            self._call("on_after_backward")
        return outputs["loss"]


def _hooks(trainer: L.Trainer, name: str) -> list[Hook]:
    """Return a hook of the callbacks, and of the network, as far as somebody has written it."""
    module = trainer.lightning_module
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    hooks = [
        partial(getattr(callback, name), trainer, module)
        for callback in callbacks
        if is_overridden(name, callback, L.Callback)
    ]
    return hooks + ([getattr(module, name)] if is_overridden(name, module, L.LightningModule) else [])


def _hooked(trainer: L.Trainer, name: str) -> bool:
    """Return whether the network or the data module transfers batches in its own way."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    return is_overridden(name, trainer.lightning_module, L.LightningModule) or (
        data is not None and is_overridden(name, data, L.LightningDataModule)
    )
