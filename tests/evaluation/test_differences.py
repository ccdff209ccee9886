import math

import numpy as np
import pytest
from scipy import integrate, stats

from cnnexp.evaluation.differences import (
    evidence,
    half_width,
    paired_difference,
    seeds_needed,
    sequential_difference,
)

FIRST, SECOND = [0.91, 0.93, 0.92, 0.95], [0.90, 0.90, 0.92, 0.91]


def test_the_interval_and_the_test_are_students():
    differences = np.subtract(FIRST, SECOND)
    theirs = stats.ttest_rel(FIRST, SECOND)
    found = paired_difference(FIRST, SECOND)
    low, high = theirs.confidence_interval(0.95)
    assert (found.mean, found.p_value, found.pairs) == pytest.approx((differences.mean(), theirs.pvalue, 4))
    assert found.half_width == pytest.approx((high - low) / 2)
    assert half_width([0.9]) is None


def test_one_pair_and_differences_that_do_not_vary_are_no_certainty():
    assert paired_difference([0.9], [0.8]).p_value is None
    assert paired_difference([0.9] * 3, [0.8] * 3).p_value == 0.25
    assert paired_difference([0.9] * 3, [0.9] * 3).p_value == 1
    assert seeds_needed([0.1] * 3) is None
    assert evidence([0.1] * 20) == 1


@pytest.mark.parametrize(("effect", "pairs"), [(0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_seeds_needed_are_those_of_the_tables_of_power(effect, pairs):
    around = np.array([-1, 0, 1]) + effect  # of standard deviation 1
    assert seeds_needed(around) == pairs


def test_so_many_seeds_find_a_planted_difference_as_often_as_promised():
    rng, effect = np.random.default_rng(0), 0.7
    needed = seeds_needed(np.array([-1, 0, 1]) + effect)
    drawn = rng.normal(effect, 1, (4000, needed))
    assert (stats.ttest_1samp(drawn, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.035)


def test_a_difference_out_of_reach_needs_no_number_of_seeds():
    assert seeds_needed([0.001, -1, 1]) is None
    assert seeds_needed([0, -1, 1]) is None


def test_the_evidence_is_the_average_of_the_likelihood_ratio_over_the_prior():
    differences = [0.3, 0.1, 0.5, 0.2]
    score, freedom = stats.ttest_1samp(differences, 0).statistic, 3
    ratio = lambda effect: stats.nct.pdf(score, freedom, effect * 2) / stats.t.pdf(score, freedom)  # noqa: E731
    average, _ = integrate.quad(lambda effect: ratio(effect) * stats.norm.pdf(effect), -8, 8)
    assert evidence(differences) == pytest.approx(average, rel=1e-4)


def test_the_evidence_keeps_its_level_however_often_it_is_looked_at():
    rng = np.random.default_rng(0)
    ever = [
        any(evidence(drawn[:pairs]) >= 20 for pairs in range(2, 31))
        for drawn in rng.normal(size=(1000, 30)).tolist()
    ]
    assert np.mean(ever) <= 0.05
    assert evidence((rng.normal(size=12) + 2).tolist()) > 20


def test_what_is_said_while_seeds_are_added_holds_at_any_time():
    rng, true = np.random.default_rng(1), 0.3
    wrong = missed = 0
    for drawn in rng.normal(true, 1, size=(400, 25)).tolist():
        shifted = [value - true for value in drawn]
        every = [sequential_difference(drawn[:n], [0.0] * n) for n in range(2, 26)]
        missed += any(abs(found.mean - true) > found.half_width for found in every)
        wrong += sequential_difference(shifted, [0.0] * 25).p_value < 0.05  # the least p-value so far
    assert wrong / 400 <= 0.05
    assert missed / 400 <= 0.05


def test_the_interval_ends_where_the_evidence_speaks_against_a_difference():
    found = sequential_difference(FIRST * 3, SECOND * 3)
    at_its_end = np.subtract(FIRST * 3, SECOND * 3) - (found.mean - found.half_width)
    assert evidence(at_its_end.tolist()) == pytest.approx(20)
    assert sequential_difference([0.9, 0.8], [0.7, 0.75]).half_width == math.inf  # two pairs never speak so loud
    assert sequential_difference([0.9], [0.8]).p_value is None


def test_a_clear_difference_is_settled_in_a_few_seeds():
    rng = np.random.default_rng(0)
    first = rng.normal(0.95, 0.01, 7)
    assert sequential_difference(first, first - rng.normal(0.03, 0.01, 7)).p_value < 0.05
