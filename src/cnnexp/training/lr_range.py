"""The learning-rate range test: the loss of each step while the learning rate rises from too low to too high."""

from dataclasses import dataclass

import lightning as L
import numpy as np
from lightning.pytorch.tuner.tuning import Tuner
from scipy.ndimage import gaussian_filter1d

from cnnexp.models.classifier import Classifier

_LIGHTNINGS_BETA = 0.98
_WIDTH = 3.0
"""Steps: the standard deviation of the Gaussian that the losses are smoothed by."""

_BEGINNING, _CLEAR = 10, 2.0
"""It counts as falling if it drops below the first steps' loss by more than twice a step's random deviation."""


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured.

    Args:
        learning_rates: of each step, rising.
        losses: cross-entropy of each step's batch, in nats.
        smoothed: the losses, smoothed over a few steps before and after each.
        suggestion: where the smoothed loss falls most steeply over the learning rate's logarithm, before its
            lowest point; None where it never falls clearly.
        lowest: the learning rate at which the smoothed loss is lowest; beyond it training gets worse.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    lowest: float


def lr_range_test(
    trainer: L.Trainer,
    model: Classifier,
    data: L.LightningDataModule,
    min_lr: float,
    max_lr: float,
    steps: int,
) -> RangeTest:
    """Train for some steps while the learning rate rises exponentially; the weights are as before after that.

    The range test is L. N. Smith's (Cyclical Learning Rates, 2017, arXiv:1506.01186), by Lightning's Tuner,
    which stops early once the loss is four times its lowest value. The suggestion isn't the Tuner's. The trainer
    has enough epochs for the steps, and isn't to be trained with afterwards; the model's schedule is constant.
    """
    found = Tuner(trainer).lr_find(
        model, datamodule=data, min_lr=min_lr, max_lr=max_lr, num_training=steps, update_attr=False
    )
    assert found is not None
    count = min(len(found.results["lr"]), len(found.results["loss"]))
    rates, running = (np.array(found.results[key][:count], dtype=np.float64) for key in ("lr", "loss"))
    return read_range_test(rates, _losses(running))


def read_range_test(learning_rates: np.ndarray, losses: np.ndarray) -> RangeTest:
    """Find the steepest fall and the lowest point in a range test's losses, up to the first that isn't finite.

    The slope is taken over the learning rate's logarithm. Lightning's suggestion takes it over the learning rate,
    where a step at the lowest rates is so short that its noise is the steepest slope.

    Args:
        learning_rates: rising, shape (steps,).
        losses: of each step, shape (steps,).
    """
    broken = np.flatnonzero(~np.isfinite(losses))
    if len(broken):
        learning_rates, losses = learning_rates[: broken[0]], losses[: broken[0]]
    if len(losses) < 3:
        return RangeTest(learning_rates, losses, losses, None, float("nan"))
    # smoothing would carry an exploding loss into the good steps before it
    smoothed = gaussian_filter1d(np.minimum(losses, 2 * losses[0]), _WIDTH, mode="nearest")
    lowest = int(smoothed.argmin())
    steepest = int(np.gradient(smoothed, np.log10(learning_rates))[: lowest + 1].argmin())
    fall = np.median(losses[:_BEGINNING]) - smoothed[lowest]
    noise = np.std((losses - smoothed)[: lowest + 1])
    suggestion = float(learning_rates[steepest]) if lowest > 0 and fall > _CLEAR * noise else None
    return RangeTest(learning_rates, losses, smoothed, suggestion, float(learning_rates[lowest]))


def _losses(running: np.ndarray) -> np.ndarray:
    """Return each step's own loss, from Lightning's running average, which lags by up to 50 steps."""
    # the inverse of lightning.pytorch.tuner.lr_finder._LRCallback, whose bias correction is one step ahead
    average = running * (1 - _LIGHTNINGS_BETA ** np.arange(2, len(running) + 2))
    before = np.concatenate([[0.0], average[:-1]])
    return (average - _LIGHTNINGS_BETA * before) / (1 - _LIGHTNINGS_BETA)
