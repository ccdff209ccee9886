"""Is it real? Each configuration against the best one, by the seeds that both have."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from cnnexp.evaluation.differences import (
    LEVEL,
    Difference,
    paired_difference,
    seeds_needed,
    sequential_difference,
)
from cnnexp.evaluation.intervals import holm
from cnnexp.reports.swept import key_of

Values = Mapping[Hashable, float]
"""A configuration's number for each of its seeds."""


@dataclass(frozen=True)
class Comparison:
    """A configuration against the best one, or against a baseline.

    Args:
        difference: the other's number less this configuration's, by pairs; None where they share no seed.
        p_value: of the difference, adjusted by Holm's procedure for all that were compared; None where there are
            fewer than two pairs.
        compared: the number of comparisons that it is adjusted for.
        more_seeds: how many further seeds would tell the two apart with a probability of 80 %, if the difference
            and its spread are as they look; None where they are told apart, or nothing can be said.
        images: where two networks were compared and not their configurations, the number of images that were
            answered by both; None where seeds were compared.
        of_images: the 95 % interval of the difference then, not adjusted.
    """

    difference: Difference | None
    p_value: float | None
    compared: int
    more_seeds: int | None = None
    images: int | None = None
    of_images: tuple[float, float] | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference, not adjusted; None where there is none."""
        if self.of_images is not None or self.difference is None or self.difference.half_width is None:
            return self.of_images
        mean, width = self.difference.mean, self.difference.half_width
        return (mean - width, mean + width) if math.isfinite(width) else None

    @property
    def is_real(self) -> bool:
        """Whether the two differ by more than chance, at the level of 5 % over all comparisons."""
        return self.p_value is not None and self.p_value < LEVEL


def against(
    reference: int, values: Sequence[Values], chosen_by_them: bool, sequential: bool = False
) -> dict[int, Comparison]:
    """Compare configurations with one of them.

    Args:
        reference: the index of that one.
        values: each configuration's number for each of its seeds.
        chosen_by_them: whether the reference is the best by these same numbers. Any of the pairs could then have
            been the one that is looked at, so the p-values are adjusted for all pairs of configurations; for a
            baseline that was named beforehand only for those with it.
        sequential: whether the number of seeds was decided by how they came out, so that only a test that holds
            at any time will do. The seeds are taken in ascending order, as they were run.

    Returns:
        a comparison for each index but the reference's.
    """
    pairs = list(combinations(range(len(values)), 2))
    if not chosen_by_them:
        pairs = [pair for pair in pairs if reference in pair]
    shared = {pair: sorted(values[pair[0]].keys() & values[pair[1]].keys(), key=key_of) for pair in pairs}
    compare = sequential_difference if sequential else paired_difference
    tested = {
        (one, other): compare([values[one][s] for s in seeds], [values[other][s] for s in seeds])
        for (one, other), seeds in shared.items()
        if len(seeds) > 1
    }
    adjusted = dict(zip(tested, holm([float(found.p_value or 0.0) for found in tested.values()]), strict=True))
    comparisons = {}
    for index in range(len(values)):
        if index == reference:
            continue
        pair = min(index, reference), max(index, reference)
        seeds = shared[pair]
        best, this = ([values[i][seed] for seed in seeds] for i in (reference, index))
        difference = compare(best, this) if seeds else None
        p_value, more = adjusted.get(pair), None
        # of two pairs the spread is hardly known
        if p_value is not None and p_value >= LEVEL and len(seeds) > 2 and not sequential:
            differences = [one - other for one, other in zip(best, this, strict=True)]
            # Holm's first step: what the smallest p-value has to be below
            needed = seeds_needed(differences, LEVEL / len(tested))
            more = None if needed is None else max(1, needed - len(seeds))
        comparisons[index] = Comparison(difference, p_value, len(tested), more)
    return comparisons
