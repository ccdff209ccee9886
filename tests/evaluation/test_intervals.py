import math

import numpy as np
import pytest
import torch

from cnnexp.evaluation.intervals import (
    holm,
    mcnemar,
    mcnemar_p_values,
    newcombe_paired_interval,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "images"), [(0, 5), (3, 10), (50, 50), (9904, 10000)])
def test_the_interval_is_wilsons(right, images):
    z, share = 1.959963984540054, right / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    assert wilson_interval(right, images) == pytest.approx((max(0, middle - half), min(1, middle + half)))


def test_nothing_is_known_of_a_class_without_images():
    assert wilson_interval(0, 0) == (0, 1)


def test_mcnemar_counts_only_the_images_that_tell_the_two_apart():
    first = torch.tensor([True] * 8 + [False] * 2 + [True] * 50 + [False] * 50)
    second = torch.tensor([False] * 8 + [True] * 2 + [True] * 50 + [False] * 50)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (8, 2)
    # 2 · (1 + 10 + 45) / 2^10
    assert found.p_value == pytest.approx(0.109375)
    assert mcnemar(first, first).p_value == 1


def test_many_pairs_have_the_p_values_of_each():
    counts = np.array([[0, 0], [1, 0], [8, 2], [2, 8], [7, 7], [0, 30], [400, 350]])
    for (only_first, only_second), p_value in zip(counts, mcnemar_p_values(*counts.T), strict=True):
        first = torch.tensor([True] * only_first + [False] * only_second, dtype=torch.bool)
        assert p_value == pytest.approx(mcnemar(first, ~first).p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        ((14, 5, 0, 22), (0.011, 0.226)),  # Altman et al., Statistics with Confidence, 2000, table 6.2
        (
            (1, 1, 7, 12),
            (-0.507, -0.026),
        ),  # Fagerland et al., Contingency Tables, 2017, chapter 8
        ((50, 0, 0, 0), (-0.0713, 0.0713)),  # all right: of each Wilson's 1.96² / (n + 1.96²), as if unpaired
    ],
)
def test_the_interval_of_pairs_is_newcombes(table, interval):
    if table[0] == 50:
        bound = 1.959963984540054**2 / (50 + 1.959963984540054**2)
        interval = (-bound, bound)
    assert newcombe_paired_interval(*table) == pytest.approx(interval, abs=5e-4)
    both, first, second, neither = table
    turned = newcombe_paired_interval(both, second, first, neither)
    assert turned == pytest.approx((-interval[1], -interval[0]), abs=5e-4)


def test_the_interval_of_pairs_holds_the_true_difference():
    rng, shares = np.random.default_rng(0), [0.85, 0.06, 0.03, 0.06]
    tables = rng.multinomial(144, shares, size=1000)
    held = [low <= 0.03 <= high for low, high in (newcombe_paired_interval(*map(int, t)) for t in tables)]
    assert np.mean(held) >= 0.93  # 95 % less three standard errors


def test_several_comparisons_need_smaller_p_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
