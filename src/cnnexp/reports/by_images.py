"""Is it real, of one seed each? Networks compared by their answers on the same validation images."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from cnnexp.evaluation.answers import Answers
from cnnexp.evaluation.differences import Difference
from cnnexp.evaluation.intervals import holm, mcnemar_p_values, newcombe_paired_interval
from cnnexp.reports.told_apart import Comparison

MOST = 1000
"""Networks that are compared: of more, the pairs would take longer than all else in a report."""


def against_by_images(
    reference: int, answers: Sequence[Answers | None], chosen_by_them: bool
) -> dict[int, Comparison]:
    """Compare networks with one of them by McNemar's exact test on the images that they were validated on.

    It takes the networks as they are: of another seed's it says nothing.

    Args:
        reference: the index of that one.
        answers: of each network; None where they aren't known. Only those on the same images are compared.
        chosen_by_them: whether the reference is the best by the same answers. Any of the pairs could then have
            been the one that is looked at, so the p-values are adjusted (Holm) for all pairs of networks that can
            be compared; for a baseline that was named beforehand only for those with it.

    Returns:
        a comparison for each index that can be compared with the reference.
    """
    alike: Mapping[tuple[str, int], list[int]] = defaultdict(list)
    for index, one in enumerate(answers):
        if one is not None:
            alike[one.images, len(one.right)].append(index)
    own = answers[reference]
    if own is None or len(answers) > MOST:
        return {}
    p_values: dict[tuple[int, int], float] = {}
    for members in alike.values():
        right = np.array([answers[index].right for index in members], dtype=np.float32)  # type: ignore[union-attr]
        # whole numbers, which single precision holds up to 16 million
        both = np.rint(right @ right.T).astype(np.int64)
        only = both.diagonal()[:, None] - both  # right in the row's network and not in the column's
        above = np.triu_indices(len(members), 1)
        found = mcnemar_p_values(only[above], only.T[above])
        pairs = ((members[one], members[other]) for one, other in zip(*above, strict=True))
        p_values |= zip(pairs, found.tolist(), strict=True)
    if not chosen_by_them:
        p_values = {pair: p for pair, p in p_values.items() if reference in pair}
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {
        index: _compared(own, one, adjusted[min(index, reference), max(index, reference)], len(adjusted))
        for index in alike[own.images, len(own.right)]
        if index != reference and (one := answers[index]) is not None
    }


def _compared(reference: Answers, other: Answers, p_value: float, compared: int) -> Comparison:
    one, two, images = reference.right, other.right, len(other.right)
    both, only, others = int((one & two).sum()), int((one & ~two).sum()), int((~one & two).sum())
    interval = newcombe_paired_interval(both, only, others, images - both - only - others)
    difference = Difference((only - others) / images, None, None, 1)
    return Comparison(difference, p_value, compared, images=images, of_images=interval)
