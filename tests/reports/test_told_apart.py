import numpy as np
import pytest
from scipy import stats

from cnnexp.reports.told_apart import against


def drawn(rng, *means, seeds=5, noise=0.01, shared=0.02):
    luck = rng.normal(0, shared, seeds)
    return [dict(enumerate(mean + luck + rng.normal(0, noise, seeds))) for mean in means]


def test_a_large_difference_is_real_though_the_seeds_scatter_more():
    values = drawn(np.random.default_rng(0), 0.95, 0.85)
    comparison = against(0, values, chosen_by_them=True)[1]
    assert comparison.is_real
    assert comparison.more_seeds is None
    assert comparison.difference.mean == pytest.approx(0.1, abs=0.02)
    unpaired = np.std(list(values[0].values())) + np.std(list(values[1].values()))
    assert comparison.difference.half_width < unpaired


@pytest.mark.parametrize("configurations", [2, 6])
def test_equal_configurations_are_seldom_told_apart(configurations):
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(250):
        values = drawn(rng, *[0.9] * configurations, seeds=4)
        best = max(range(configurations), key=lambda i: np.mean(list(values[i].values())))
        false += any(found.is_real for found in against(best, values, chosen_by_them=True).values())
    assert false / 250 <= 0.09  # 5 % and three standard errors


def test_only_shared_seeds_count_and_one_of_them_is_no_test():
    values = [{0: 0.9, 1: 0.91, 2: 0.92}, {2: 0.8}, {7: 0.5}]
    found = against(0, values, chosen_by_them=True)
    assert (found[1].difference.pairs, found[1].p_value, found[1].is_real) == (1, None, False)
    assert found[2].difference is None


def test_a_named_baseline_needs_fewer_comparisons_than_the_best():
    values = drawn(np.random.default_rng(1), 0.9, 0.91, 0.92, 0.93)
    assert against(0, values, chosen_by_them=True)[1].compared == 6
    assert against(0, values, chosen_by_them=False)[1].compared == 3


def test_the_seeds_that_would_decide_are_told_and_decide():
    rng = np.random.default_rng(3)
    values = drawn(rng, 0.91, 0.90, seeds=3)
    comparison = against(0, values, chosen_by_them=True)[1]
    assert not comparison.is_real
    more = comparison.more_seeds
    # the same difference and scatter, in as many seeds as promised
    differences = [one - other for one, other in zip(values[0].values(), values[1].values(), strict=True)]
    mean, spread = np.mean(differences), np.std(differences, ddof=1)
    found = stats.ttest_1samp(rng.normal(mean, spread, (1500, 3 + more)), 0, axis=1).pvalue < 0.05
    assert found.mean() >= 0.77
