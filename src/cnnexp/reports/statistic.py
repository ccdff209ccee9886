"""A number over the seeds of a configuration, with its uncertainty, and how it is written."""

import statistics
from dataclasses import dataclass

from cnnexp.evaluation.differences import half_width
from cnnexp.evaluation.intervals import wilson_interval


@dataclass(frozen=True)
class Statistic:
    """A number of one run or several.

    Args:
        values: one a seed, at least one.
        images: for an accuracy, how many images each was measured on; None where that isn't known, or for another
            number.
    """

    values: tuple[float, ...]
    images: int | None = None

    @property
    def mean(self) -> float:
        """The mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def count(self) -> int:
        """The number of seeds."""
        return len(self.values)

    @property
    def half_width(self) -> float | None:
        """Half the length of the mean's 95 % t-interval, for three seeds or more.

        With two it would be 9 times their standard deviation, which says less than the two values.
        """
        return half_width(self.values) if self.count > 2 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval: Student's of the mean of three seeds or more, Wilson's of the accuracy of one."""
        if (width := self.half_width) is not None:
            return self.mean - width, self.mean + width
        if self.count == 1 and self.images:
            return wilson_interval(round(self.values[0] * self.images), self.images)
        return None

    def shown(self, percent: bool = False, digits: int = 0) -> str:
        """Return the number as text.

        A single run's accuracy with its interval, ``97.2 [94.1, 98.9]``; two runs' values, ``97.2 and 98.1``; of
        more runs the mean with the half-width of its interval, ``97.6 ± 0.8``; values that are all the same with
        their number, ``100.0 (n = 3)``, because their spread says nothing. Whole numbers have no needless zeros.
        """
        factor = 100 if percent else 1
        values = [f"{factor * value:.{digits}f}" for value in self.values]
        if len(set(values)) == 1:
            if digits < 2 and all(factor * value == round(factor * value) for value in self.values):
                return f"{factor * self.values[0]:.0f}"
            if self.count > 1:
                return f"{values[0]} (n = {self.count})"
            if percent and self.interval is not None:
                low, high = self.interval
                return f"{values[0]} [{factor * low:.1f}, {factor * high:.1f}]"
        if self.half_width is None:
            return " and ".join(values)
        return f"{factor * self.mean:.{digits}f} ± {factor * self.half_width:.{digits}f}"
