"""What a run prints while it trains fits a terminal of 80 columns."""

import itertools
import math
from pathlib import Path

import pytest

from cnnexp.reports.tables import final_table
from cnnexp.training.loggers import WIDTH, epoch_line

METRICS = [path.stem for path in (Path(__file__).parents[2] / "conf" / "metrics").glob("*.yaml")]
LOSSES = [0.0, 0.12345, 9.99999, 12.3456, 9999.5, 123456.0, math.nan, math.inf]
EPOCHS = [(1, None), (12, -1), (3, 5), (100, 100), (1000, 1000), (12345, 12345)]
RATES = [0.0, 1e-3, 9.7654321e-05, 123.0]
SECONDS = [0.04, 99.97, 1234.5, 123456.7]
MEASURED = {
    "all": ("train", "val"),
    "no clean training": ("val",),
    "no validation": (),
    "no data module's": ("train",),
}


def row(measured: tuple[str, ...], loss: float, rate: float, seconds: float) -> dict[str, float]:
    parts = {"running": 1.0, **dict.fromkeys(measured, 1.0)}
    numbers = {f"{part}_loss": loss for part in parts} | {
        f"{part}_accuracy": right for part, right in parts.items()
    }
    more = {f"{part}_{name}": 1 / 3 for part in measured for name in METRICS}
    return {"epoch": 1.0, **numbers, **more, "learning_rate": rate, "seconds": seconds, "val_step": 30.0}


@pytest.mark.parametrize("measured", MEASURED.values(), ids=MEASURED)
def test_an_epochs_line_fits(measured):
    for (epoch, epochs), loss, rate, seconds in itertools.product(EPOCHS, LOSSES, RATES, SECONDS):
        line = epoch_line(epoch, epochs, row(measured, loss, rate, seconds))
        assert len(line) <= WIDTH, line
        assert line.startswith(f"epoch {epoch}")
        assert ("val" in line) == ("val" in measured)
        assert "100.00%" in line


def test_an_epochs_line_says_what_was_measured():
    numbers = {
        "train_loss": 0.01884, "train_accuracy": 0.995, "val_loss": 12.345, "val_accuracy": 0.98917,
        "running_loss": 1.0, "running_accuracy": 0.5, "learning_rate": 0.00808, "seconds": 24.44,
    }  # fmt: skip
    told = "epoch 2/9   train 0.0188  99.50%   val  12.35  98.92%   lr 0.00808   24.4 s"
    assert epoch_line(2, 9, numbers) == told
    del numbers["train_loss"], numbers["val_loss"]
    assert epoch_line(2, None, numbers) == "epoch 2   running 1.0000  50.00%   lr 0.00808   24.4 s"


def test_the_final_table_fits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = [f"{part}_{what}" for part in ("train", "val", "test") for what in ("loss", "accuracy")]
    result = {
        **dict.fromkeys([*parts, "test_loss_tta", "test_accuracy_tta"], 123456.78),
        "best_epoch": 12345, "epochs": 12345, "generalization_gap": -1.0,
        "train_images": 12345678, "train_eval_images": 1234567,
    }  # fmt: skip
    table = final_table(result, tmp_path / "outputs" / "cnn-digits" / "2026-01-31_12-00-00-2")
    assert max(map(len, table.splitlines())) <= WIDTH
