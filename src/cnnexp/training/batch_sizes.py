"""What each batch size costs, up to the largest that the memory holds."""

import statistics
import time
from collections import defaultdict
from typing import Any

import lightning as L
import torch
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.tuner.tuning import Tuner

from cnnexp.data.datamodule import ImageDataModule
from cnnexp.models.classifier import Classifier

_STEP = "run_training_batch"


class StepTimer(Profiler):
    """Times every training step, by batch size: the one of Lightning's hooks that its Tuner leaves in place."""

    def __init__(self, data: ImageDataModule) -> None:
        super().__init__()
        self.seconds: dict[int, list[float]] = defaultdict(list)
        self._data = data
        self._begin = 0.0

    def start(self, action_name: str) -> None:
        """Start the clock with a step."""
        if action_name == _STEP:
            self._begin = self._now()

    def stop(self, action_name: str) -> None:
        """Stop it with the step."""
        if action_name == _STEP:
            self.seconds[self._data.batch_size].append(self._now() - self._begin)

    @staticmethod
    def _now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()


def scale_batch_size(
    trainer: L.Trainer,
    model: Classifier,
    data: ImageDataModule,
    timer: StepTimer,
    smallest: int = 8,
    largest: int = 4096,
    steps: int = 5,
) -> list[dict[str, Any]]:
    """Double the batch size until the memory or ``largest`` is reached, and return a row for each that fits.

    The doubling is Lightning's Tuner's. The weights and ``data.batch_size`` are as before after that.

    Args:
        trainer: whose profiler is ``timer``; it isn't of use after that.
        model: to be trained, with a constant schedule.
        data: whose training batches are used.
        timer: made for ``data``.
        smallest: the first batch size.
        largest: the last batch size; no more than there are training images.
        steps: training steps at each; the median of all but the first counts.

    Returns:
        Rows with ``batch_size``, ``seconds_per_step`` and ``samples_per_second``.
    """
    before = data.batch_size
    largest = min(largest, data.sizes["train"])
    smallest = min(smallest, largest)
    try:
        # set here too: the Tuner makes its first batches before it has set its first size
        data.batch_size = smallest
        # the Tuner doesn't try its own maximum, so that lies just beyond the last size to be tried
        Tuner(trainer).scale_batch_size(
            model, datamodule=data, mode="power", steps_per_trial=steps, init_val=smallest,
            max_val=largest + 1,
        )  # fmt: skip
    finally:
        data.batch_size = before
    rows = []
    for size, seconds in sorted(timer.seconds.items()):
        if len(seconds) >= steps:  # otherwise the memory ended before the steps did
            step = statistics.median(seconds[1:])
            rows.append({"batch_size": size, "seconds_per_step": step, "samples_per_second": size / step})
    return rows
