"""A few real kills; ``kill_harness.py --kills 50`` does many."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent / "kill_harness.py"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_runs_end_as_if_nobody_had_killed_them(folder):
    done = subprocess.run(
        [sys.executable, str(HARNESS), "--kills", "6", "--seed", "1"], capture_output=True, text=True, timeout=400
    )
    assert "6 of 6 identical" in done.stdout, done.stdout + done.stderr
