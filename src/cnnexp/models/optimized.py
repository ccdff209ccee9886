"""What a network does with its optimizer and its schedule."""

import inspect
import logging
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

import lightning as L
import torch
from lightning.pytorch.plugins.precision import FSDPPrecision, MixedPrecision, Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch.nn import Parameter
from torch.optim.lr_scheduler import ReduceLROnPlateau

from cnnexp.errors import CnnexpError

log = logging.getLogger(__name__)

_LEAST_EPS = 1e-4
"""What Adam's divisor is kept from 0 by in float16, whose smallest numbers are near its usual 1e-8."""

OptimizerFactory: TypeAlias = Callable[..., torch.optim.Optimizer]
SchedulerFactory: TypeAlias = Callable[..., dict[str, Any]]


class Optimized(L.LightningModule):
    """A LightningModule whose optimizer and schedule come as functions, see ``Classifier.train_with``."""

    _optimizer: OptimizerFactory
    _scheduler: SchedulerFactory | None

    def build_optimizer(self, weights: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return the optimizer over weights."""
        optimizer = self._optimizer(weights)
        for group in optimizer.param_groups:
            half = any(weight.dtype == torch.float16 for weight in group["params"])
            if half and 0 < group.get("eps", 0) < torch.finfo(torch.float16).tiny:
                group["eps"] = _LEAST_EPS
        return optimizer

    def configure_optimizers(self) -> Any:
        """Build the optimizer and, with the run's length known, its schedule."""
        optimizer = self.build_optimizer(self.parameters())
        if any(group.get("eps") != optimizer.defaults.get("eps") for group in optimizer.param_groups):
            log.warning(
                "optimizer.eps=%g is 0 in float16; it is %g in this run", optimizer.defaults["eps"], _LEAST_EPS
            )
        if self._scheduler is None:
            return optimizer
        # fewer than whole epochs where trainer.max_steps ends training within one
        total = self.trainer.estimated_stepping_batches
        if math.isinf(total):
            raise CnnexpError("a schedule needs to know its end: set trainer.max_epochs, or trainer.max_steps")
        total = max(1, int(total))
        if math.isinf(self.trainer.num_training_batches):  # not counted yet where max_steps alone is the end
            self.trainer.fit_loop.setup_data()
        batches, together = int(self.trainer.num_training_batches), self.trainer.accumulate_grad_batches
        steps = max(1, math.ceil(batches / together))
        length = {"epochs": math.ceil(total / steps), "steps_per_epoch": steps, "total_steps": total}
        if "total_steps" not in inspect.signature(self._scheduler).parameters:
            del length["total_steps"]
        schedule = self._scheduler(optimizer, **length)
        if isinstance(schedule["scheduler"], ReduceLROnPlateau):
            if schedule.get("frequency", 1) != 1 or schedule.get("interval", "epoch") != "epoch":
                raise CnnexpError(
                    "a plateau is stepped as its monitor is measured; leave out interval and frequency"
                )
            # Lightning's own turn comes after the epoch's checkpoint, which would then hold a plateau that lags an
            # epoch behind
            schedule = {**schedule, "frequency": sys.maxsize}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def _step_plateaus(self, measured: Mapping[str, float], before: Mapping[str, float] | None = None) -> None:
        """Let schedules that watch one of the numbers just measured take their step.

        At an epoch's end that is none of those measured ``before``, whose schedules have taken theirs.
        """
        for config in self.trainer.lr_scheduler_configs:
            if not isinstance(config.scheduler, ReduceLROnPlateau) or config.monitor in (before or ()):
                continue
            if config.monitor is not None and config.monitor in measured:
                config.scheduler.step(measured[config.monitor])
            elif before:
                raise CnnexpError(f"the schedule watches {config.monitor}; measured is {', '.join(measured)}")

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients as the Trainer was told to, with fused optimizers and bfloat16 too."""
        precision: Any = self.trainer.precision_plugin
        if not gradient_clip_val:
            return
        mixed = isinstance(precision, MixedPrecision)
        # Lightning refuses that pair because float16's gradients are scaled when they are clipped; bfloat16's
        # are not, and plain clipping is right
        if mixed and precision.scaler is None:
            kind = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(precision, optimizer, gradient_clip_val, kind)
        elif mixed and getattr(optimizer, "_step_supports_amp_scaling", False):
            raise CnnexpError(
                "float16 gradients can't be clipped for a fused optimizer; type optimizer.fused=false, or "
                "trainer.precision=bf16-mixed"
            )
        elif isinstance(precision, FSDPPrecision) and gradient_clip_algorithm in (None, "norm"):
            # each process holds a part of every gradient: the norm is of all parts together
            cast(Any, self.trainer.model).clip_grad_norm_(gradient_clip_val)
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
