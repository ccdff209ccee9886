"""How sure a share of right answers is, and whether two networks differ by more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.stats import binomtest

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
