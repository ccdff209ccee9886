"""Whether one configuration is better than another: means over seeds, paired differences, the seeds that decide.

Runs of two configurations with the same seed share what the seed draws (the split, the order of the images, the
first weights), so they are compared as pairs. Everything here takes plain numbers.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import nct, norm, t

LEVEL = 0.05
"""How often a difference may be called real where there is none."""
POWER = 0.8
"""How often a difference that is there is to be found."""


def half_width(values: Sequence[float], confidence: float = 0.95) -> float | None:
    """Return half the length of the t-interval of a mean; None for fewer than two values.

    Args:
        values: one a seed, in any unit.
        confidence: the share of such intervals that hold the true mean.
    """
    if len(values) < 2:
        return None
    quantile = float(t.ppf((1 + confidence) / 2, len(values) - 1))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences.

    Args:
        mean: first less second, in the values' unit.
        half_width: of its 95 % interval; None for a single pair, infinite where there are too few for any.
        p_value: how likely a mean at least as far from zero is if there is no difference; None for a single pair.
        pairs: how many there are.
    """

    mean: float
    half_width: float | None
    p_value: float | None
    pairs: int


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two configurations by the seeds they share.

    By the paired t-test (Student, Biometrika 6, 1908, 1-25). Where all differences are the same their spread says
    nothing, as with accuracies on few images; then by the sign test.

    Args:
        first: one value a seed, at least one.
        second: the same of the other configuration, for the same seeds in the same order.
    """
    differences = [one - other for one, other in zip(first, second, strict=True)]
    mean, pairs = statistics.fmean(differences), len(differences)
    if pairs == 1:
        return Difference(mean, None, None, 1)
    width = half_width(differences)
    if all(math.isclose(difference, mean, abs_tol=1e-12) for difference in differences):
        return Difference(mean, width, 1.0 if abs(mean) < 1e-12 else 2.0 ** (1 - pairs), pairs)
    score = mean / (statistics.stdev(differences) / math.sqrt(pairs))
    return Difference(mean, width, float(2 * t.sf(abs(score), pairs - 1)), pairs)


def seeds_needed(
    differences: Sequence[float], level: float = LEVEL, power: float = POWER, most: int = 1000
) -> int | None:
    """Return how many pairs would tell such a difference from none, if it is as large as it looks.

    The least number for which the two-sided paired t-test finds a difference of this mean and this standard
    deviation with probability ``power``; from the noncentral t-distribution (J. Cohen, Statistical Power Analysis
    for the Behavioral Sciences, 1988, chapter 2).

    Args:
        differences: of the pairs there are, at least two.
        level: of the test; already divided by the number of comparisons, where there are several.
        power: the wanted probability.
        most: more than this are not counted.

    Returns:
        The whole number of pairs, those that there are included; None where it is more than ``most``, or where the
        differences don't vary, so that nothing can be said.
    """
    spread = statistics.stdev(differences)
    effect = abs(statistics.fmean(differences)) / spread if spread > 1e-12 else 0.0
    if effect == 0 or _power(effect, most, level) < power:
        return None
    low, high = 1, most  # `low` pairs are too few, `high` are enough
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle, level) >= power else (middle, high)
    return high


def _power(effect: float, pairs: int, level: float) -> float:
    """Return how often the test finds the difference; the chance to find its opposite is neglected."""
    if pairs < 2:
        return 0.0
    bound, shift = float(t.ppf(1 - level / 2, pairs - 1)), effect * math.sqrt(pairs)
    # scipy's noncentral t-distribution fails far from zero, where it is nearly normal
    return float(nct.sf(bound, pairs - 1, shift) if shift < 10 else norm.sf(bound - shift))


def evidence(differences: Sequence[float], spread: float = 1.0) -> float:
    """Return the evidence against "no difference", which may be looked at after each seed.

    It is the Bayes factor of the t-test whose effect size (mean over standard deviation) has a normal prior. Where
    there is no difference it ever exceeds 1 / level with probability of at most ``level``, however often it is
    looked at and whenever one stops (M. F. Pérez-Ortiz, T. Lardy, R. de Heide, P. Grünwald, E-statistics, group
    invariance and anytime-valid testing, Annals of Statistics 52, 2024, 1410-1432; the closed form is that of
    J. N. Rouder et al., Psychonomic Bulletin & Review 16, 2009, 225-237, for a fixed g).

    Args:
        differences: of the pairs that there are.
        spread: standard deviation of the prior of the effect size.

    Returns:
        1 for fewer than two pairs, and where the differences don't vary, whose spread says nothing.
    """
    pairs = len(differences)
    if pairs < 2:
        return 1.0
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation < 1e-12:
        return 1.0
    freedom, weight = pairs - 1, 1 + pairs * spread**2
    square = pairs * (mean / deviation) ** 2 / freedom
    log = (freedom + 1) / 2 * (math.log1p(square) - math.log1p(square / weight)) - math.log(weight) / 2
    return math.exp(min(log, 690.0))


def sequential_difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two configurations by the seeds they share, with what holds whenever one stops adding seeds.

    The p-value is the reciprocal of the largest `evidence` so far. Where there is no difference it ever falls
    below a level with a probability of at most that level (J. Ville, Étude critique de la notion de collectif,
    1939), so it may decide after each seed whether there is to be a next one, and be adjusted by Holm's procedure
    as any other. The interval holds all differences that the evidence doesn't speak against, and so holds at any
    time too.

    Args:
        first: one value a seed, in the order in which the seeds were run, at least one.
        second: the same of the other configuration, for the same seeds.
    """
    differences = [one - other for one, other in zip(first, second, strict=True)]
    mean, pairs = statistics.fmean(differences), len(differences)
    if pairs == 1:
        return Difference(mean, None, None, 1)
    most = max(evidence(differences[:count]) for count in range(2, pairs + 1))
    return Difference(mean, _sequential_half_width(differences), min(1.0, 1 / most), pairs)


def _sequential_half_width(differences: Sequence[float], level: float = LEVEL, spread: float = 1.0) -> float:
    """Return how far from the mean `evidence` against a difference reaches 1 / level; infinite for few pairs."""
    pairs = len(differences)
    freedom, weight = pairs - 1, 1 + pairs * spread**2
    # solved for the square of the t-statistic
    bound = math.exp(2 * (math.log(1 / level) + math.log(weight) / 2) / pairs)
    if bound >= weight:
        return math.inf
    square = freedom * (bound - 1) / (1 - bound / weight)
    return math.sqrt(square / pairs) * statistics.stdev(differences)
