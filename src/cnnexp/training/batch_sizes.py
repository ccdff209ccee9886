"""The time of a training step at each batch size, up to the largest that fits the memory."""

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
    """Times every training step, by batch size; a profiler, because the Tuner takes callbacks out."""

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
    trainer: L.Trainer, model: Classifier, data: ImageDataModule, timer: StepTimer, smallest: int,
    largest: int = 4096, steps: int = 5,
) -> list[dict[str, Any]]:  # fmt: skip
    """Double the batch size until it exceeds the memory or ``largest``; return a row for each that fits.

    Lightning's Tuner does the doubling. The weights and ``data.batch_size`` are put back afterwards.

    Args:
        trainer: whose profiler is ``timer``; don't train with it afterwards.
        model: with a constant schedule.
        data: whose training batches are used; no batch is larger than all of them.
        timer: made for ``data``.
        smallest: the first batch size.
        largest: the last batch size.
        steps: training steps at each; the median of all but the first counts.

    Returns:
        Rows with ``batch_size``, ``seconds_per_step`` and ``samples_per_second``.
    """
    before = data.batch_size
    largest = min(largest, data.sizes["train"])
    smallest = min(smallest, largest)
    try:
        # the Tuner makes its first batches before it sets its first size
        data.batch_size = smallest
        # the Tuner stops before its maximum
        Tuner(trainer).scale_batch_size(
            model, datamodule=data, mode="power", steps_per_trial=steps, init_val=smallest,
            max_val=largest + 1,
        )  # fmt: skip
    finally:
        data.batch_size = before
    rows = []
    for size, seconds in sorted(timer.seconds.items()):
        if len(seconds) >= steps:  # with fewer, it ran out of memory
            step = statistics.median(seconds[1:])
            rows.append({"batch_size": size, "seconds_per_step": step, "samples_per_second": size / step})
    return rows
