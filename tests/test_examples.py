"""The scripts in examples/ run as their docstrings say, shortened."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
TYPED = {
    "train_and_draw.py": (["--epochs", "2"], "epoch 2: training", ["curves.png"]),
    "own_network.py": ([], "test_accuracy", []),
    "look_inside.py": (["RUN", "photo.png"], "photo.png: ", ["mistakes.png", "activations.png"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_each_example_runs(script, folder, two_runs):
    arguments, said, drawn = TYPED[script]
    Image.new("L", (40, 30), 90).save(folder / "photo.png")
    run = str(sorted(two_runs.iterdir())[0])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *(run if typed == "RUN" else typed for typed in arguments)],
        cwd=folder, env=dict(os.environ), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    if script == "own_network.py":  # an example of a network learns what it is shown
        assert float(re.search(r"test_accuracy\D+([\d.]+)", done.stdout)[1]) > 0.97
    assert all((folder / name).stat().st_size > 1000 for name in drawn)
    assert len((EXAMPLES / script).read_text().splitlines()) < 60
