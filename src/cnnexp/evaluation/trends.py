"""How a number moves with a setting: straight lines and power laws, each with its interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import linregress, t


@dataclass(frozen=True)
class Slope:
    """A straight line through points.

    Args:
        slope: of the line, in units of y for one of x.
        low: lower end of the slope's 95 % interval.
        high: upper end.
        points: how many the line goes through.
    """

    slope: float
    low: float
    high: float
    points: int

    @property
    def is_trend(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def slope(x: Sequence[float], y: Sequence[float], confidence: float = 0.95) -> Slope | None:
    """Fit a line by least squares; None for fewer than three points, or where x has a single value.

    Args:
        x: finite numbers.
        y: as many finite numbers, one a run.
        confidence: the share of such intervals that hold the true slope, if the points scatter independently and
            equally around a line.
    """
    if len(x) < 3 or len(set(x)) < 2:
        return None
    line = linregress(x, y)
    width = float(t.ppf((1 + confidence) / 2, len(x) - 2)) * float(line.stderr)
    return Slope(float(line.slope), float(line.slope) - width, float(line.slope) + width, len(x))


@dataclass(frozen=True)
class PowerLaw:
    """error = factor · size^(−exponent), as measured learning curves mostly go.

    Args:
        exponent: how fast the error falls; 0.5 halves it for four times the images.
        low: lower end of its 95 % interval.
        high: upper end.
        log_factor: natural logarithm of the error at size 1.
        scatter: standard deviation of a size's ln(mean error) around the line.
        within: standard deviation of ln(error) among runs of one size; 0 where each size has one.
        mean_log_size: mean of ln(size) over the sizes.
        squares: sum of squared deviations of ln(size) from it.
        points: how many sizes the law was fitted to.
        largest: the largest size among them.
    """

    exponent: float
    low: float
    high: float
    log_factor: float
    scatter: float
    within: float
    mean_log_size: float
    squares: float
    points: int
    largest: float

    def predict(self, size: float, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return the error expected at a size, and the interval in which a further run's lies, as fractions."""
        at = math.log(size)
        middle = self.log_factor - self.exponent * at
        of_line = self.scatter * math.sqrt(1 / self.points + (at - self.mean_log_size) ** 2 / self.squares)
        # a run's own luck; where the law doesn't fit, the sizes scatter more than their runs do
        of_run = max(self.scatter, self.within)
        width = float(t.ppf((1 + confidence) / 2, self.points - 2)) * math.hypot(of_line, of_run)
        return math.exp(middle), math.exp(middle - width), min(math.exp(middle + width), 1.0)


def power_law(sizes: Sequence[float], errors: Sequence[float], confidence: float = 0.95) -> PowerLaw | None:
    """Fit a power law to learning curves, by least squares over the logarithms of each size's mean error.

    Sizes are the points, and not runs: more seeds tell nothing of how well a law fits, so they may not make the
    interval smaller than the sizes' own distance from the line does.

    J. Hestness et al., Deep Learning Scaling is Predictable, Empirically (2017), found such laws for many tasks,
    down to an error that more images don't lower. Below that floor the law promises too much.

    Args:
        sizes: numbers of training images.
        errors: the share of wrong answers of a run on so many; a size without any is passed over.
        confidence: of the exponent's interval.

    Returns:
        None for fewer than three different sizes: two points lie on any law.
    """
    of_size: dict[float, list[float]] = {}
    for size, error in zip(sizes, errors, strict=True):
        of_size.setdefault(size, []).append(error)
    points = [(math.log(size), math.log(statistics.fmean(some))) for size, some in of_size.items() if any(some)]
    if len(points) < 3:
        return None
    x, y = zip(*points, strict=True)
    line = linregress(x, y)
    # relative to their mean, which is the deviation of the logarithm where it is small; a run may have no error
    relative = [[error / statistics.fmean(some) for error in some] for some in of_size.values() if any(some)]
    variances = [statistics.variance(some) for some in relative if len(some) > 1]
    within = math.sqrt(statistics.fmean(variances)) if variances else 0.0
    freedom, mean = len(x) - 2, sum(x) / len(x)
    left = [b - float(line.intercept) - float(line.slope) * a for a, b in points]
    width = float(t.ppf((1 + confidence) / 2, freedom)) * float(line.stderr)
    exponent = -float(line.slope)
    return PowerLaw(
        exponent, exponent - width, exponent + width, float(line.intercept),
        math.sqrt(sum(value**2 for value in left) / freedom), within, mean, sum((a - mean) ** 2 for a in x),
        len(x), math.exp(max(x)),
    )  # fmt: skip
