"""``python -m bench.differences``: how often a report calls a difference real, where there is one and where not.

Sweeps of a feed-forward network on digits, each trained for real and judged as a report judges them. A against A
are two configurations that differ in nothing but the first weights drawn; a seed gives both the same split and the
same order of images. The planted difference is a quarter of the training images less.
"""

import argparse
import platform
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
import torch
from torch.nn import functional as F

from bench.shares import share
from cnnexp import FFNN
from cnnexp.data.digits import digits
from cnnexp.data.split import split
from cnnexp.evaluation.differences import LEVEL, POWER, seeds_needed
from cnnexp.reports.told_apart import Values, against
from cnnexp.seeds import mix

SEEDS, MOST_SEEDS, EQUALS = 5, 15, 6
"""Seeds of a sweep; where it is settled, at most; configurations of a sweep of several."""
TRAIN_SIZE, FEWER, HIDDEN, EPOCHS, BATCH = 120, 90, 64, 6, 20


def trained(seed: int, draw: int, train_size: int = TRAIN_SIZE) -> float:
    """Train a network and return its validation accuracy.

    Args:
        seed: of the split and of the order of the images, which configurations share.
        draw: of the first weights, together with the seed.
        train_size: number of training images; a smaller set is a part of a larger one.
    """
    data = digits()
    train, val = split(data.train_labels, 0.2, train_size, seed)
    pixels, labels = _pixels()[train], data.train_labels[train]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed, draw))
        network = FFNN((1, 28, 28), 10, hidden=(HIDDEN,)).layers
    optimizer = torch.optim.Adam(network.parameters(), lr=0.003, fused=True)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(mix(seed, epoch)))
        for batch in order.split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(network(pixels[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        right = network(_pixels()[val]).argmax(1) == data.train_labels[val]
    return float(right.double().mean())


@cache
def _pixels() -> torch.Tensor:
    return digits().train_images.float() / 127.5 - 1


def is_called_real(configurations: Sequence[Sequence[float]], sequential: bool = False) -> bool:
    """Return whether a report tells any configuration apart from the best; a number a seed for each."""
    values: list[Values] = [dict(enumerate(numbers)) for numbers in configurations]
    best = int(np.argmax([np.mean(numbers) for numbers in configurations]))
    return any(found.is_real for found in against(best, values, True, sequential).values())


def settled_after(two: Sequence[Sequence[float]], sequential: bool = True) -> int | None:
    """Return after how many seeds two are told apart by a look after each from the second on; None if never."""
    looks = range(2, len(two[0]) + 1)
    return next((n for n in looks if is_called_real([numbers[:n] for numbers in two], sequential)), None)


def equal_pairs(sweeps: int) -> tuple[int, int]:
    """Return in how many sweeps of A against A a difference is called real, and of how many."""
    first = 2 * 10**6  # other seeds than those of the other rows
    starts = range(first, first + sweeps * SEEDS, SEEDS)
    called = [
        is_called_real([[trained(seed, draw) for seed in range(start, start + SEEDS)] for draw in range(2)])
        for start in starts
    ]
    return sum(called), len(called)


def equal_configurations(sweeps: int) -> dict[str, tuple[int, int]]:
    """Return the same of sweeps of several A, of how many, and by how it is judged."""
    called: dict[str, list[bool]] = defaultdict(list)
    for sweep in range(sweeps):
        seeds = [sweep * MOST_SEEDS + number for number in range(MOST_SEEDS)]
        two = [[trained(seed, draw) for seed in seeds] for draw in range(2)]
        more = [[trained(seed, draw) for seed in seeds[:SEEDS]] for draw in range(2, EQUALS)]
        several = [numbers[:SEEDS] for numbers in [*two, *more]]
        pairs = list(combinations(several, 2))
        for what, real in (
            (f"{EQUALS} times A, {SEEDS} seeds, any of them", [is_called_real(several)]),
            (f"each of these {len(pairs)} pairs, without Holm", [is_called_real(pair) for pair in pairs]),
            (f"A against A, settle=true up to {MOST_SEEDS} seeds", [settled_after(two) is not None]),
            ("by a t-test after each of these seeds, as no report does", [settled_after(two, False) is not None]),
        ):
            called[what] += real
    return {what: (sum(real), len(real)) for what, real in called.items()}


@dataclass(frozen=True)
class Planted:
    """A difference that is there, and how often it was found.

    Args:
        differences: of all pairs.
        needed: the seeds that a report promises for such a mean and such a spread; None: more than it counts.
        found: of the sweeps with so many seeds, whether each was called real.
        ends: of the sweeps that were settled, after how many seeds each was; None if never.
    """

    differences: Sequence[float]
    needed: int | None
    found: Sequence[bool]
    ends: Sequence[int | None]


def planted_difference(sweeps: int) -> Planted:
    """Plant a difference in so many sweeps; their pairs are shared out anew for the number of seeds promised."""
    first = 10**6  # other seeds than those of A against A
    seeds = range(first, first + sweeps * MOST_SEEDS)
    pairs = [(trained(seed, 0), trained(seed, 1, FEWER)) for seed in seeds]
    differences = [one - other for one, other in pairs]
    needed = seeds_needed(differences)
    starts = range(0, len(pairs) - needed + 1, needed) if needed else ()
    found = [is_called_real(list(zip(*pairs[start : start + (needed or 0)], strict=True))) for start in starts]
    settling = range(0, len(pairs), MOST_SEEDS)
    ends = [settled_after(list(zip(*pairs[start : start + MOST_SEEDS], strict=True))) for start in settling]
    return Planted(differences, needed, found, ends)


def told(planted: Planted) -> list[str]:
    """Return the same in sentences."""
    differences, settled = planted.differences, [end for end in planted.ends if end is not None]
    lines = [
        f"planted: {100 * np.mean(differences):.2f} points, standard deviation of a pair's difference "
        f"{100 * np.std(differences, ddof=1):.2f} ({len(differences)} pairs)"
    ]
    if planted.needed:
        found = share(sum(planted.found), len(planted.found))
        lines.append(f"promised: found with {planted.needed} seeds in {POWER:.0%}; found: {found}")
    after = f", after {np.median(settled):.0f} seeds (median)" if settled else ""
    ends = share(len(settled), len(planted.ends))
    return [*lines, f"found by settle=true up to {MOST_SEEDS} seeds: {ends}{after}"]


def main() -> None:
    """Train and judge what the arguments say, and print it."""
    parser = argparse.ArgumentParser(prog="python -m bench.differences", description=__doc__)
    parser.add_argument("--sweeps", type=int, default=200, help="sweeps of each kind (200 take ten minutes)")
    parser.add_argument("--pairs", type=int, default=4000, help="sweeps of two equal configurations (another 20)")
    sweeps, pairs = (arguments := parser.parse_args()).sweeps, arguments.pairs
    torch.set_num_threads(1)
    began = time.process_time()
    print(f"A against A, {SEEDS} seeds, level {LEVEL:.0%}: {share(*equal_pairs(pairs))} called real")
    print(f"{sweeps} sweeps of each other kind", flush=True)
    for what, (count, of) in equal_configurations(sweeps).items():
        # pairs of one sweep share networks: their number says nothing of how sure the share is
        often = share(count, of) if of == sweeps else f"{count:,} of {of:,} ({count / of:.1%})"
        print(f"{what}: {often} called real", flush=True)
    print(*told(planted_difference(sweeps)), sep="\n")
    print(f"{time.process_time() - began:.0f} s of one core; {platform.machine()}, torch {torch.__version__}")


if __name__ == "__main__":
    main()
