import numpy as np
import pytest

from cnnexp.evaluation.trends import power_law, slope


def test_a_line_has_the_slope_it_was_drawn_with_as_often_as_the_interval_says():
    rng = np.random.default_rng(0)
    x = [0, 1, 2, 3] * 3
    found = [slope(x, 2 * np.array(x) + rng.normal(0, 1, 12)) for _ in range(1000)]
    assert np.mean([line.low <= 2 <= line.high for line in found]) == pytest.approx(0.95, abs=0.02)
    assert all(line.is_trend for line in found)


def test_noise_is_seldom_a_trend():
    rng = np.random.default_rng(0)
    found = [slope([1, 2, 3, 4, 5] * 2, rng.normal(size=10)).is_trend for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.02)


def test_too_few_points_make_no_line_and_no_law():
    assert slope([1, 2], [1, 2]) is None
    assert slope([1, 1, 1], [1, 2, 3]) is None
    assert power_law([100, 200, 200], [0.1, 0.05, 0.04]) is None
    assert power_law([100, 200, 400], [0.1, 0.05, 0.0]) is None


def test_a_power_law_is_found_and_foretells_the_next_size_as_often_as_it_says():
    rng = np.random.default_rng(0)
    sizes = np.repeat([100, 300, 1000, 3000, 10000], 3)
    inside = held = 0
    for _ in range(500):
        law = power_law(sizes, 2 * sizes**-0.5 * np.exp(rng.normal(0, 0.1, 15)))
        held += law.low <= 0.5 <= law.high
        _, low, high = law.predict(20000)
        inside += low <= 2 * 20000**-0.5 * np.exp(rng.normal(0, 0.1)) <= high
    assert held / 500 == pytest.approx(0.95, abs=0.03)
    assert inside / 500 > 0.93  # the quantile is that of the sizes, which are few: rather too wide
    assert law.largest == pytest.approx(10000)
