"""``python -m bench``, small: both loops end with the same weights, and tables say what was measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _bench(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY)


@pytest.mark.slow
def test_the_tuned_loop_does_the_same_arithmetic():
    read = {}
    for contender in ("tuned", "cnnexp"):
        command = [
            sys.executable, "-m", "bench.worker", contender, "--model", "ffnn", "--data", "digits",
            "--steps", "70",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        read[contender] = json.loads(done.stdout.splitlines()[-1])
    assert read["tuned"]["weights"] == read["cnnexp"]["weights"]
    assert len(read["tuned"]["seconds"]) == len(read["cnnexp"]["seconds"]) == 2


def test_ratios_are_taken_round_by_round_and_shown_with_their_range():
    from bench.table import cost_table, into_page, speed_table

    row = {
        "model": "ffnn", "batch_size": 16, "precision": "32-true", "same_weights": True,
        "ms_per_step": {"notebook": [4.0, 2.0, 6.0], "tuned": [1.0, 1.0, 2.0], "cnnexp": [1.0, 1.0, 3.0]},
        "against": {"notebook": [0.25, 0.5, 0.5], "tuned": [1.0, 1.0, 1.5]},
        "peak_mib": {"notebook": 900.0, "tuned": 800.0, "cnnexp": 850.4},
    }  # fmt: skip
    line = speed_table([row]).splitlines()[-1]
    assert line == (
        "| ffnn | 16 | 32-true | 4.00 | 1.00 | 1.00 | 2.00× (2.00–4.00) | 1.00 (1.00–1.50) "
        "| 900 / 800 / 850 | yes |"
    )
    assert cost_table({"--help": [0.5]}).endswith("| --help | 0.50 |")
    page = (REPOSITORY / "docs" / "performance.md").read_text()
    once = into_page(page, ["a table"])
    assert into_page(once, ["a table"]) == once != page
    assert once.startswith(page[:200])
    assert once.endswith(page[-200:])


@pytest.mark.parametrize(
    ("load", "seconds", "idle"), [(0.0, [1.0, 1.05], True), (1.5, [1.0, 1.0], False), (0.0, [1.0, 1.4], False)]
)
def test_a_machine_that_was_busy_is_told(load, seconds, idle):
    from bench.idle import Machine

    machine = Machine()
    machine.calibrate()
    facts = {**machine.facts(), "threads": 2, "rounds": 5, "date": "2026-01-01"}
    assert len(facts["calibration_seconds"]) == 1
    told = machine.told({**facts, "load_at_start": load, "calibration_seconds": seconds})
    assert ("was idle" in told, "was not idle" in told) == (idle, not idle)
