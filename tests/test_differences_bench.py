"""``python -m bench.differences``, small: what a report calls real of trained networks, not of drawn numbers."""

from pathlib import Path

import pytest


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    from bench import differences

    for name, value in (("SEEDS", 4), ("MOST_SEEDS", 6), ("EQUALS", 3)):
        monkeypatch.setattr(differences, name, value)
    return differences


def test_equal_configurations_are_seldom_told_apart(bench):
    called = {what: count for what, (count, of) in bench.equal_configurations(8).items() if of == 8}
    looked = [what for what in called if "no report" in what]  # this way doesn't keep the level
    # more than 3 of 8 at 5 % has a probability of 0.0004
    assert max(count for what, count in called.items() if what not in looked) <= 3
    assert len(looked) == 1
    assert len(called) == 3
    assert bench.equal_pairs(8)[1] == 8
    assert bench.equal_pairs(8)[0] <= 3


def test_a_planted_difference_is_found(bench, monkeypatch):
    monkeypatch.setattr(bench, "FEWER", 40)
    planted = bench.planted_difference(5)
    assert 2 <= planted.needed <= 4
    assert sum(planted.found) >= len(planted.found) / 2
    assert sum(end is not None for end in planted.ends) >= 3
    lines = bench.told(planted)
    assert f"found with {planted.needed} seeds in 80%" in lines[1]
    assert lines[0].endswith("(30 pairs)")


def test_the_same_draws_are_the_same_network(bench):
    assert bench.trained(3, 0) == bench.trained(3, 0)
    assert len({bench.trained(3, draw) for draw in range(4)}) > 1
