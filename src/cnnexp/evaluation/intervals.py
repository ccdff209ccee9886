"""How sure a share of right answers is, and whether two networks differ by more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import binom, binomtest

if TYPE_CHECKING:
    from torch import Tensor


def wilson_interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval that a true accuracy lies in, given ``right`` of ``images`` answered rightly.

    Wilson's score interval (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927, 209-212): unlike the accuracy ± 2
    standard errors it stays within [0, 1] and is right for few images, and for accuracies near 1.

    Args:
        right: number of right answers.
        images: number of images; with none, anything is possible: (0, 1).
        confidence: the share of such intervals that hold the true value.
    """
    if images == 0:
        return 0.0, 1.0
    interval = binomtest(right, images).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe_interval(first: float, first_images: int, second: float, second_images: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies on different images, first less second.

    Of the two Wilson intervals: R. G. Newcombe, Interval estimation for the difference between independent
    proportions, Statistics in Medicine 17, 1998, 873-890, method 10.

    Args:
        first: an accuracy, a fraction.
        first_images: how many images it was measured on, at least one.
        second: the other one.
        second_images: its images.
    """
    low, high = wilson_interval(round(first * first_images), first_images)
    second_low, second_high = wilson_interval(round(second * second_images), second_images)
    difference = first - second
    # a mean over epochs may lie a hair outside of the interval of the nearest whole number of right answers
    below = math.hypot(max(first - low, 0.0), max(second_high - second, 0.0))
    return difference - below, difference + math.hypot(max(high - first, 0.0), max(second - second_low, 0.0))


def newcombe_paired_interval(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two accuracies on the same images, first less second.

    Of the two Wilson intervals and the correlation of the answers, which is corrected for continuity:
    R. G. Newcombe, Improved confidence intervals for the difference between binomial proportions based on paired
    data, Statistics in Medicine 17, 1998, 2635-2650, method 10.

    Args:
        both: number of images that both networks got right.
        only_first: those that only the first did.
        only_second: those that only the second did.
        neither: those that both got wrong; one image at least there must be in all.
    """
    images, right, second_right = both + only_first + only_second + neither, both + only_first, both + only_second
    low, high = wilson_interval(right, images)
    second_low, second_high = wilson_interval(second_right, images)
    product = math.prod((right, images - right, second_right, images - second_right))
    together = both * neither - only_first * only_second
    corrected = max(together - images / 2, 0.0) if together > 0 else float(together)
    correlation = corrected / math.sqrt(product) if product else 0.0

    def length(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))

    first, second = right / images, second_right / images
    below, above = length(first - low, second_high - second), length(high - first, second - second_low)
    return first - second - below, first - second + above


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of two networks on the same images.

    Args:
        only_first: images that only the first got right.
        only_second: images that only the second got right.
        p_value: how likely a difference at least as large is if both were equally good.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first_correct: "Tensor", second_correct: "Tensor") -> McNemar:
    """Ask whether two networks' accuracies on the same images differ by more than chance.

    The images that both get right, or both wrong, say nothing about that. Of the others each network should
    win about half if both are equally good: the exact two-sided binomial test (Q. McNemar, Psychometrika 12,
    1947, 153-157; T. G. Dietterich, Neural Computation 10, 1998, 1895-1923).

    Args:
        first_correct: bool, shape (N,): whether the first network got each image right.
        second_correct: the same for the second network, of the same images in the same order.
    """
    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((~first_correct & second_correct).sum())
    differing = only_first + only_second
    p_value = float(binomtest(only_first, differing).pvalue) if differing else 1.0
    return McNemar(only_first, only_second, p_value)


def mcnemar_p_values(only_first: np.ndarray, only_second: np.ndarray) -> np.ndarray:
    """Return the p-values of ``mcnemar`` for many pairs of networks at once.

    Args:
        only_first: int, of any shape: images that only the first network of each pair got right.
        only_second: the same of the second.
    """
    # of as many wins as losses, both tails have the middle, and their sum would exceed 1
    tail = binom.cdf(np.minimum(only_first, only_second), only_first + only_second, 0.5)
    return np.minimum(1.0, 2 * tail)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for being several, in their order (S. Holm, Scand. J. Stat. 6, 1979, 65-70).

    Of many p-values some are small by chance; an adjusted one is judged like that of a single comparison.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted
