"""A few real kills; ``kill_harness.py --kills 50`` does many."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from reliability.kill_matrix import factors, pairwise

HARNESS = Path(__file__).parent / "kill_harness.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_runs_end_as_if_nobody_had_killed_them(folder):
    done = subprocess.run(
        [sys.executable, str(HARNESS), "--kills", "6", "--seed", "1"], capture_output=True, text=True, timeout=400
    )
    assert "6 of 6 identical" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_combination_of_the_matrix_ends_as_if_nobody_had_killed_it(folder):
    command = [sys.executable, str(HARNESS), "--matrix", "--most", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert "1 of 1 identical" in done.stdout, done.stdout + done.stderr


def test_any_two_values_of_the_matrix_meet():
    lists = factors()
    met = [dict(enumerate(one)) for one in pairwise(lists)]
    for i, j in itertools.combinations(range(len(lists)), 2):
        assert {(one[i], one[j]) for one in met} == set(itertools.product(lists[i], lists[j]))
    assert len(met) < 3 * max(len(a) * len(b) for a, b in itertools.combinations(lists, 2))
