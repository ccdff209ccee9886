import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run_folders import FITTING, OVERFITTING, history

from cnnexp.reports.verdicts import Rule, judge

EPOCHS = range(40)
FALLING = [2 * 0.9**e for e in EPOCHS]


def noisy(values, scale: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [value + rng.gauss(0, scale) for value in values]


def close(val_loss, train_loss) -> list[dict]:
    """Rows with equal accuracies, so that only the losses can tell."""
    return history(val_loss, train_loss, train_accuracy=[0.95] * 99, val_accuracy=[0.95] * 99)


@pytest.mark.parametrize(
    ("rows", "word", "since", "turned"),
    [
        (OVERFITTING, "overfits", 4, 3),
        (FITTING, "fits", None, None),
        (history([2.3, 2.2, 2.1], [2.3, 2.2, 2.1]), "underfits", None, None),
        # a high validation loss that rises while the training loss rises too is trouble of another kind
        (close([0.5, 0.3, 0.5, 0.7], [0.5, 0.3, 0.5, 0.7]), "fits", None, None),
        # a single epoch above the lowest is no trend, nor is a spike at the end
        (close([0.5, 0.3, 0.4], [0.5, 0.3, 0.2]), "fits", None, None),
        (close([0.5, 0.4, 0.35, 0.3, 0.301, 0.9], [0.5, 0.4, 0.3, 0.2, 0.19, 0.18]), "fits", None, None),
        # the validation loss falls on, and yet training runs away from it: by the gap, since it became large
        (history([1.0, 0.9, 0.8, 0.75], [0.98, 0.8, 0.3, 0.1]), "overfits", 3, None),
        (history([1.0], [0.9]), "underfits", None, None),
        (history([0.2], [0.15]), "fits", None, None),
        (history([1.0], [0.1]), "overfits", 1, None),
        (history([1.0, math.nan], [0.9, math.nan]), "diverges", 2, None),
        (history([1.0, 0.9], [0.9, math.inf]), "diverges", 2, None),
        ([{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5}], "unknown", None, None),
        ([], "unknown", None, None),
    ],
)  # fmt: skip
def test_the_verdict_on_a_curve(rows, word, since, turned):
    verdict = judge(rows)
    assert (verdict.word, verdict.since, verdict.turned) == (word, since, turned), verdict.text
    assert verdict.text.startswith(f"{word} from epoch {since}" if word == "overfits" else word)


def test_the_rise_and_the_gap_are_those_of_the_last_epoch():
    verdict = judge(OVERFITTING)
    assert verdict.rise == pytest.approx(1.1 / 0.5 - 1)
    assert verdict.gap == pytest.approx((1.1 - 0.05) / 4)
    assert "120 %" in verdict.text


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_overfitting_and_does_not_hide_it(seed):
    level = noisy([0.3] * len(EPOCHS), 0.03, seed)
    assert judge(close(level, FALLING)).word == "fits"
    rising = noisy([max(2 * 0.8**e, 0.3 + 0.03 * (e - 9)) for e in EPOCHS], 0.02, seed)
    verdict = judge(close(rising, FALLING))
    assert verdict.word == "overfits"
    assert 5 <= verdict.turned <= 14


def test_epochs_without_validation_are_passed_over():
    rows = [row if row["epoch"] % 2 else {"epoch": row["epoch"], "seconds": 1.0} for row in OVERFITTING]
    assert judge([*rows, OVERFITTING[-1] | {"epoch": 7}]).turned == 3


def test_the_thresholds_are_the_rules():
    rows = close([0.5, 0.3, 0.32, 0.33], [0.5, 0.3, 0.2, 0.1])
    assert judge(rows).word == "overfits"
    assert judge(rows, Rule(rise=10)).word == "fits"
    assert "10 %" in str(Rule(rise=10))


losses = st.floats(0, 1e6)


@given(st.lists(st.tuples(losses, losses, st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_any_curve_gets_a_verdict_that_points_into_it(rows):
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    curve = [{"epoch": i + 1, **dict(zip(keys, row, strict=True))} for i, row in enumerate(rows)]
    verdict = judge(curve)
    assert (verdict.since is not None) == (verdict.word == "overfits")
    assert verdict.since is None or 1 <= verdict.since <= len(rows)
    assert verdict.turned is None or verdict.turned == verdict.since - 1
