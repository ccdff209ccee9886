import math
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from cnnexp.evaluation.ledger import FOLDER, best_of_equals, look, told


def test_every_look_is_counted_for_its_own_data(folder):
    assert [look("abc", 0.9, Path("run")) for _ in range(3)] == [1, 2, 3]
    assert look("def", 0.9, Path("run\n, and\udcff more")) == 1
    assert look("def", 0.9, Path("run")) == 2


def test_looks_at_once_are_all_counted(folder):
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(lambda _: look("abc", 0.9, Path("run")), range(24)))
    assert sorted(counted) == list(range(1, 25))


def test_what_cannot_be_written_ends_nothing_and_a_link_is_not_followed(folder):
    assert look("../abc", 0.9, Path("run")) is None
    look("abc", 0.9, Path("run"))
    file = folder / "cache" / FOLDER / "abc.csv"
    other = folder / "thesis"
    other.write_text("all mine")
    file.unlink()
    file.symlink_to(other)
    assert look("abc", 0.9, Path("run")) is None
    assert other.read_text() == "all mine"
    os.environ["CNNEXP_CACHE"] = str(other)  # undone by the fixture
    assert look("abc", 0.9, Path("run")) is None


@pytest.mark.parametrize(
    ("looks", "begins"), [(2, "2nd"), (3, "3rd"), (11, "11th"), (21, "21st"), (112, "112th"), (1001, "1,001st")]
)
def test_the_sentence_carries_number_and_size(looks, begins):
    assert told(looks, 10000, 0.985).startswith(f"{begins} look at these 10,000 test images")


def test_of_41_equal_networks_the_best_lies_a_quarter_of_a_point_too_high():
    assert "up to 0.3 points above" in told(41, 10000, 0.985)
    assert "up to 0.2 points above" in told(41, 10000, 0.99)
    assert "less than 0.1 points above" in told(41, 10000, 1.0)


def test_the_best_of_equal_networks_lies_above_them():
    rng = np.random.default_rng(0)
    best = rng.binomial(10000, 0.985, (3000, 41)).max(axis=1) / 10000 - 0.985
    assert best_of_equals(41, 10000, 0.985) == pytest.approx(best.mean(), rel=0.05)
    assert best_of_equals(1, 100, 0.9) == best_of_equals(0, 0, math.nan) == 0
