"""Is it real? What the seeds say of the best configuration, or of a baseline, against the others, in sentences."""

import math
from collections.abc import Mapping, Sequence

from cnnexp.reports.study import Study
from cnnexp.reports.told_apart import Comparison

MOST = 4  # configurations that are named in a sentence, and differences that have one each


def is_it_real(study: Study) -> list[str]:
    """Return what the seeds say of the best configuration, or of a baseline, against the others.

    How many are told apart from it; where seeds were added until they were, each difference; the closest that
    isn't told apart, with the difference; and the seeds that would decide.
    """
    reference = study.configurations[study.baseline or 0]
    name = "the best" if study.baseline is None else f"the baseline ({reference.label})"
    compared = {i: found for i, found in study.comparisons.items() if found.p_value is not None}
    alone = len(study.comparisons) - len(compared)
    if not compared:
        return [
            f"Is it real? No configuration can be told apart from {name} with fewer than two seeds in common: "
            "type seed=0,1,2 or more."
        ]
    if any(found.images is not None for found in compared.values()):
        return _of_networks(study, name, compared, alone)
    real = [i for i, found in compared.items() if found.is_real]
    test = "e-values, which hold whenever one stops" if study.sequential else "t-test"
    lines = [
        f"Is it real? {len(real)} of {_counted(len(compared), 'other configuration')} "
        f"{'is' if 1 in (len(real), len(compared)) else 'are'} told apart from {name} (paired by seed, {test}, "
        f"{_adjusted(next(iter(compared.values())))})."
    ]
    if study.sequential:
        lines += [_settled(study, i, compared[i]) for i in real[:MOST]]
    undecided = {i: found for i, found in compared.items() if i not in real}
    if undecided:
        closest = min(undecided, key=lambda i: abs(_mean(undecided[i])))
        lines.append(
            f"Not told apart from {name}: {in_a_row([study.configurations[i].label for i in undecided])}; "
            f"the closest is {_by_how_much(study.configurations[closest].label, undecided[closest])}."
        )
        if more := _more_seeds(study, undecided):
            lines.append(more)
    if alone:
        lines.append(f"{_counted(alone, 'configuration')} with fewer than two seeds in common can't be compared.")
    return lines


def _of_networks(study: Study, name: str, compared: Mapping[int, Comparison], alone: int) -> list[str]:
    """Return what the answers on the same images say of one network each, which is nothing of their settings."""
    first = next(iter(compared.values()))
    real = {i: found for i, found in compared.items() if found.is_real}
    undecided = {i: found for i, found in compared.items() if not found.is_real}
    label = [configuration.label for configuration in study.configurations]
    lines = [
        f"Is it real? {len(real)} of {_counted(len(compared), 'other trained network')} "
        f"{'is' if 1 in (len(real), len(compared)) else 'are'} told apart from {name} by the same "
        f"{first.images:,} validation images (McNemar's exact test, {_adjusted(first)})."
    ]
    if real:
        lines.append(f"Told apart: {in_a_row([_behind(label[i], found) for i, found in real.items()])}.")
    if undecided:
        closest = min(undecided, key=lambda i: abs(_mean(undecided[i])))
        lines.append(
            f"Not told apart from {name}: {in_a_row([label[i] for i in undecided])}; the closest is "
            f"{_behind(label[closest], undecided[closest])}."
        )
    lines.append(
        "This speaks of these trained networks only, not of their configurations, which have one seed each: "
        "another seed may turn it round (seed=0,1,2 or more compares configurations)."
    )
    if alone:
        lines.append(f"{_counted(alone, 'network')} without recorded answers on these images can't be compared.")
    return lines


def _behind(label: str, found: Comparison) -> str:
    """Return by how much a network is behind, or ahead, with the interval of that."""
    assert found.interval is not None
    sign = -1 if _mean(found) < 0 else 1
    low, high = sorted(round(sign * 100 * bound, 2) + 0.0 for bound in found.interval)  # no −0.00
    return (
        f"{label}, {100 * abs(_mean(found)):.2f} points {'ahead' if sign < 0 else 'behind'} "
        f"(95 % interval {low:.2f} to {high:.2f})"
    )


def _settled(study: Study, index: int, found: Comparison) -> str:
    """Return a difference that was told apart by adding seeds."""
    difference = found.difference
    assert difference is not None
    labels = study.configurations[study.baseline or 0].label, study.configurations[index].label
    better, worse = labels if difference.mean > 0 else labels[::-1]
    return (
        f"Settled after {difference.pairs} seeds: {better} is better than {worse} by "
        f"{100 * abs(difference.mean):.2f}{_give_or_take(found)} points."
    )


def _more_seeds(study: Study, undecided: Mapping[int, Comparison]) -> str | None:
    """Return how many seeds would decide, for the one that takes the fewest and for all that can be told."""
    needed = {i: found.more_seeds for i, found in undecided.items() if found.more_seeds is not None}
    if not needed:
        return None
    first = min(needed, key=lambda i: needed[i])
    least, most = needed[first], max(needed.values())
    seeds = f"{least} more {'seed' if least == 1 else 'seeds'}"
    whole = "all" if len(needed) == len(undecided) else f"{len(needed)} of them"
    if len(undecided) == 1:
        what = f"{seeds} would decide"
    elif len(needed) == 1:
        what = f"{seeds} would decide about {study.configurations[first].label}"
    elif least == most:
        what = f"{seeds} would decide about {whole}"
    else:
        what = f"{seeds} would decide about {study.configurations[first].label}, {most} about {whole}"
    several = len(needed) > 1
    return (
        f"{what}{', each' if several else ''} with a probability of 80 %, if the difference"
        f"{'s and their' if several else ' and its'} spread are as they look."
    )


def _mean(found: Comparison) -> float:
    assert found.difference is not None
    return found.difference.mean


def _by_how_much(label: str, found: Comparison) -> str:
    difference = found.difference
    assert difference is not None
    much = f"{100 * abs(difference.mean):.2f}{_give_or_take(found)} points"
    return f"{label}, {much} {'ahead' if difference.mean < 0 else 'behind'} over {difference.pairs} seeds"


def _give_or_take(found: Comparison) -> str:
    """Return half the length of a difference's interval; nothing where there are too few seeds for one."""
    width = found.difference.half_width if found.difference is not None else None
    return "" if width is None or not math.isfinite(width) else f" ± {100 * width:.2f}"


def _adjusted(found: Comparison) -> str:
    return "p < 0.05" if found.compared == 1 else f"p < 0.05 after Holm for {found.compared} comparisons"


def in_a_row(labels: Sequence[str], most: int = MOST) -> str:
    """Return some labels with semicolons, and how many are left out."""
    left = len(labels) - most
    return "; ".join(labels[:most]) + (f"; and {left} more" if left > 0 else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
