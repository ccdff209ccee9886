import math

import pytest
import torch

from cnnexp.evaluation.intervals import holm, mcnemar, wilson_interval


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


def test_several_comparisons_need_smaller_p_values():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
