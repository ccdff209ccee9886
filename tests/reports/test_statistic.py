import pytest

from cnnexp.evaluation.intervals import wilson_interval
from cnnexp.reports.statistic import Statistic


@pytest.mark.parametrize(
    ("values", "images", "how", "shown"),
    [
        ([0.9722], 144, (True, 2), "97.22 [93.1, 98.9]"),
        ([0.9722], None, (True, 2), "97.22"),
        ([0.97, 0.98], 144, (True, 2), "97.00 and 98.00"),
        ([0.97, 0.98, 0.99], 144, (True, 2), "98.00 ± 2.48"),
        ([1.0, 1.0, 1.0], 144, (True, 2), "100.00 (n = 3)"),
        ([7, 7, 7], None, (False, 1), "7"),
        ([7, 7, 8], None, (False, 1), "7.3 ± 1.4"),
        ([3190], None, (False, 0), "3190"),
    ],
)
def test_a_number_carries_its_uncertainty(values, images, how, shown):
    assert Statistic(tuple(values), images).shown(*how) == shown


def test_the_interval_is_wilsons_for_one_run_and_students_for_three():
    assert Statistic((0.9722,), 144).interval == wilson_interval(140, 144)
    assert Statistic((0.97, 0.98, 0.99)).interval == pytest.approx((0.95516, 1.00484), abs=1e-5)
    assert Statistic((0.97, 0.98)).interval is None
