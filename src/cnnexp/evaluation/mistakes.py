"""What a network gets wrong: its confusions, each class's accuracy, and whether its confidence can be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error, multiclass_confusion_matrix

from cnnexp.evaluation.intervals import wilson_interval
from cnnexp.evaluation.predictions import Predictions


def confusion_matrix(predictions: Predictions) -> Tensor:
    """Return how often each class (row) was taken for each class (column): int64, shape (classes, classes)."""
    return multiclass_confusion_matrix(
        predictions.predicted, predictions.labels, num_classes=predictions.probabilities.shape[1]
    )


def rates(matrix: Tensor) -> Tensor:
    """Return a confusion matrix as shares of each true class; a class without images has zeros."""
    return matrix.double() / matrix.sum(1, keepdim=True).clamp(min=1)


def accuracy_per_class(matrix: Tensor, class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row a class: its images, how many were right, and what it was mistaken for most often.

    ``low`` and ``high`` bound the accuracy's 95 % Wilson interval. ``mistaken_for`` is "" where nothing is wrong.

    Args:
        matrix: as ``confusion_matrix`` returns it.
        class_names: the name of each label.
    """
    rows = []
    columns = (matrix.sum(1), matrix.diagonal(), *matrix.clone().fill_diagonal_(0).max(1))
    for name, images, right, times, other in zip(class_names, *(c.tolist() for c in columns), strict=True):
        low, high = wilson_interval(right, images)
        rows.append({
            "class": name, "images": images, "right": right,
            "accuracy": right / images if images else float("nan"), "low": low, "high": high,
            "mistaken_for": class_names[other] if times else "", "times": times,
        })  # fmt: skip
    return rows


def most_confident_mistakes(predictions: Predictions, count: int) -> Tensor:
    """Return the indices of the wrongly answered images, the most confident first, at most ``count``."""
    wrong = (~predictions.correct).nonzero().flatten()
    order = predictions.confidence[wrong].argsort(descending=True, stable=True)
    return wrong[order[:count]]


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, in bins of equal width.

    Args:
        edges: of the bins, shape (bins + 1,).
        images: in each bin, shape (bins,).
        confidence: mean confidence in each bin, NaN where it is empty, shape (bins,).
        accuracy: share of right answers in each bin, NaN where it is empty, shape (bins,).
        error: the expected calibration error, in [0, 1].
        by_chance: the mean and the 95th percentile of that error of a perfectly calibrated network with these
            confidences on as many images: no bin's share of right answers is just its confidence.
    """

    edges: Tensor
    images: Tensor
    confidence: Tensor
    accuracy: Tensor
    error: float
    by_chance: tuple[float, float]


def calibration(predictions: Predictions, bins: int = 15) -> Calibration:
    """Compare a network's confidence with how often it is right.

    Of the images answered with 80 % confidence, 80 % should be right. The expected calibration error is the
    mean distance of the two over bins of equal width, weighted by their images (C. Guo et al., On Calibration
    of Modern Neural Networks, 2017, arXiv:1706.04599).
    """
    # torchmetrics puts a confidence of exactly 1 into a bin of its own, beyond the last edge
    below_one = torch.nextafter(torch.ones(()), torch.zeros(()))
    probabilities = predictions.probabilities.clamp(max=below_one.item())
    error = multiclass_calibration_error(
        probabilities, predictions.labels, num_classes=probabilities.shape[1], n_bins=bins, norm="l1"
    )
    edges = torch.linspace(0, 1, bins + 1)
    place = torch.bucketize(probabilities.amax(1), edges, right=True) - 1
    images = torch.bincount(place, minlength=bins)

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, values.double())
        return total / torch.where(images > 0, images, torch.nan)

    confidence = probabilities.amax(1)
    by_chance = _by_chance(confidence.double(), place, bins)
    return Calibration(edges, images, mean(confidence), mean(predictions.correct), float(error), by_chance)


def _by_chance(confidence: Tensor, place: Tensor, bins: int, draws: int = 1000) -> tuple[float, float]:
    """Return mean and 95th percentile of the calibration error where each answer is right with its confidence.

    As J. Vaicenavicius et al. propose, Evaluating model calibration in classification (2019, arXiv:1902.06977).

    Args:
        confidence: of each image, shape (images,).
        place: the bin of each, shape (images,).
        bins: how many there are.
        draws: how often right answers are drawn, from a generator of its own: the same numbers each time.
    """
    generator = torch.Generator().manual_seed(0)
    errors = torch.empty(draws, dtype=torch.float64)
    for number in range(draws):
        right = torch.rand(len(confidence), generator=generator, dtype=torch.float64) < confidence
        apart = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, right.double() - confidence)
        errors[number] = apart.abs().sum() / len(confidence)
    return errors.mean().item(), errors.quantile(0.95).item()
