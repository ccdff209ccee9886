"""Learning-rate schedules, each a function of the optimizer and the length of the run.

Each returns Lightning's learning-rate-scheduler dict: torch's own schedule, and how often it is stepped. They
are given to a network with their own settings filled in, ``scheduler=partial(cosine, warmup=0.1)``, or by the
config group ``scheduler``. A schedule of one's own is a function with the same first three arguments; if it takes
``total_steps`` too, it is told where ``trainer.max_steps`` ends training within an epoch.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Interval
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules

Share = Annotated[float, Interval(ge=0, lt=1)]
Rate = Annotated[float, Ge(0)]
Factor = Annotated[float, Interval(gt=0, lt=1)]
Divisor = Annotated[float, Ge(1)]
Length = Annotated[int, Ge(1)] | None


def constant(optimizer: Optimizer, *, epochs: int, steps_per_epoch: int) -> dict[str, Any]:
    """Leave the learning rate as it is."""
    return {"scheduler": torch_schedules.ConstantLR(optimizer, factor=1.0, total_iters=0), "interval": "epoch"}


def step(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    every: Annotated[int, Ge(1)] = 10,
    gamma: Annotated[float, Interval(gt=0, le=1)] = 0.1,
) -> dict[str, Any]:
    """Multiply the learning rate by ``gamma`` after each ``every`` epochs."""
    return {"scheduler": torch_schedules.StepLR(optimizer, step_size=every, gamma=gamma), "interval": "epoch"}


def cosine(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    total_steps: Length = None,
    warmup: Share = 0.0,
    final_lr: Rate = 0.0,
) -> dict[str, Any]:
    """Fall to ``final_lr`` along half a cosine, a step at a time (Loshchilov & Hutter, arXiv:1608.03983).

    ``warmup`` is the share of all steps over which the learning rate first rises from a hundredth of its value.
    """
    total = total_steps or epochs * steps_per_epoch
    rising = round(warmup * total)

    # computed from the step alone, so that a run resumed with more epochs continues on the longer curve;
    # torch's CosineAnnealingLR would continue from a learning rate of 0
    def factor(step: int, peak: float) -> float:
        if step < rising:
            return 0.01 + 0.99 * step / rising
        lowest = final_lr / peak if peak else 0.0
        return lowest + (1 - lowest) * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising))) / 2

    peaks = [group["lr"] for group in optimizer.param_groups]
    if final_lr > max(peaks):
        raise ValueError(f"final_lr={final_lr} is above the learning rate, {max(peaks)}, that it falls from")
    factors: list[Callable[[int], float]] = [partial(factor, peak=peak) for peak in peaks]
    return {"scheduler": _Curve(optimizer, factors), "interval": "step"}


class _Curve(torch_schedules.LambdaLR):
    """torch's; a run resumed with more epochs takes the longer curve's learning rate from its next step on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group, rate, factor in zip(self.optimizer.param_groups, self.base_lrs, self.lr_lambdas, strict=True):
            group["lr"] = rate * factor(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]


class _OneCycle(torch_schedules.OneCycleLR):
    """torch's; a run resumed with more epochs stretches it to the new length."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        length = {"total_steps": self.total_steps, "_schedule_phases": self._schedule_phases}
        super().load_state_dict({**state_dict, **length})


def linear(
    optimizer: Optimizer, *, epochs: int, steps_per_epoch: int, total_steps: Length = None, warmup: Share = 0.0
) -> dict[str, Any]:
    """Fall to nothing in a line, a step at a time.

    ``warmup`` is the share of all steps over which the learning rate first rises, in a line too.
    """
    total = total_steps or epochs * steps_per_epoch
    rising = round(warmup * total)

    def factor(number: int) -> float:
        if number < rising:
            return (number + 1) / (rising + 1)
        return max(0.0, (total - number) / (total - rising))

    return {"scheduler": _Curve(optimizer, factor), "interval": "step"}


def onecycle(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    total_steps: Length = None,
    warmup: Factor = 0.3,
    div_factor: Divisor = 25.0,
    final_div_factor: Divisor = 1e4,
) -> dict[str, Any]:
    """Rise to the optimizer's learning rate and fall to nearly nothing (Smith & Topin, arXiv:1708.07120).

    The peak is ``optimizer.lr``; the start is the peak over ``div_factor``, the end the start over
    ``final_div_factor``; ``warmup`` is the share of all steps spent rising.
    """
    peaks, total = [group["lr"] for group in optimizer.param_groups], total_steps or epochs * steps_per_epoch
    schedule = _OneCycle(
        optimizer, peaks, total, pct_start=warmup, div_factor=div_factor, final_div_factor=final_div_factor
    )
    return {"scheduler": schedule, "interval": "step"}


def plateau(
    optimizer: Optimizer,
    *,
    epochs: int,
    steps_per_epoch: int,
    factor: Factor = 0.1,
    patience: Annotated[int, Ge(0)] = 2,
    min_lr: Rate = 0.0,
) -> dict[str, Any]:
    """Multiply the learning rate by ``factor`` when ``val_loss`` hasn't fallen for ``patience`` validations."""
    highest = max(group["lr"] for group in optimizer.param_groups)
    if min_lr >= highest:
        raise ValueError(f"min_lr={min_lr} leaves the learning rate, {highest}, nothing to fall")
    schedule = torch_schedules.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, min_lr=min_lr)
    return {"scheduler": schedule, "interval": "epoch", "monitor": "val_loss", "reduce_on_plateau": True}
