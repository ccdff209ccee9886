"""A network's predictions for the whole test set."""

from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor

from cnnexp.data.datamodule import ImageDataModule
from cnnexp.errors import CnnexpError
from cnnexp.models.classifier import Classifier


@dataclass(frozen=True)
class Predictions:
    """A network's predictions for N images, and their classes.

    Args:
        probabilities: float32, shape (N, classes), each row adding up to 1.
        labels: int64, shape (N,).
    """

    probabilities: Tensor
    labels: Tensor

    @property
    def predicted(self) -> Tensor:
        """The class with the highest probability: int64, shape (N,)."""
        return self.probabilities.argmax(1)

    @property
    def confidence(self) -> Tensor:
        """The probability of that class: float32, shape (N,)."""
        return self.probabilities.amax(1)

    @property
    def correct(self) -> Tensor:
        """Whether that class is the right one: bool, shape (N,)."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return self.correct.double().mean().item()


def predict_test(trainer: L.Trainer, model: Classifier, data: ImageDataModule) -> Predictions:
    """Return a network's predictions for the test set, in its order, on the trainer's device.

    Raises:
        CnnexpError: on several devices: each would have the predictions for a part of the images.
    """
    if trainer.world_size > 1:
        raise CnnexpError("predictions are collected on one device; type trainer.devices=1 trainer.num_nodes=1")
    batches = trainer.predict(model, datamodule=data)
    assert batches is not None
    probabilities = torch.cat([batch.float().cpu() for batch in batches])  # type: ignore[union-attr]
    labels = data.labels("test")[: len(probabilities)].cpu()
    return Predictions(probabilities, labels)
