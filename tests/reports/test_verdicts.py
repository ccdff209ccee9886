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


SURER = history(
    [0.5, 0.3, 0.2, 0.15, 0.16, 0.18, 0.2, 0.22, 0.24, 0.26],
    [0.5, 0.3, 0.15, 0.1, 0.05, 0.02, 0.01, 0.01, 0.005, 0.002],
    train_accuracy=[0.9] * 7 + [1.0] * 3, val_accuracy=[0.9] * 3 + [0.97] * 7,
)  # fmt: skip
FORGETS = history(
    [0.5, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [0.5, 0.3, 0.2, 0.15, 0.1, 0.09, 0.08, 0.07],
    train_accuracy=[0.95] * 8, val_accuracy=[0.9, 0.94, 0.95, 0.94, 0.93, 0.92, 0.91, 0.91],
)  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "word", "loss_turned", "accuracy_turned"),
    [
        (OVERFITTING, "overfits", 3, 3),
        (SURER, "overfits", 4, None),
        (FORGETS, "overfits", None, 3),
        (FITTING, "fits", None, None),
        (history([2.3, 2.2, 2.1], [2.3, 2.2, 2.1]), "underfits", None, None),
        # a high validation loss that rises while the training loss rises too is trouble of another kind
        (close([0.5, 0.3, 0.5, 0.7, 0.7], [0.5, 0.3, 0.5, 0.7, 0.7]), "fits", None, None),
        # two epochs above the lowest are no trend, nor is a spike at the end
        (close([0.5, 0.5, 0.3, 0.4, 0.4], [0.5, 0.4, 0.3, 0.2, 0.1]), "fits", None, None),
        (close([0.5, 0.4, 0.3, 0.301, 0.301, 0.301, 0.9], FALLING[:7]), "fits", None, None),
        # three epochs are too few, however clear it looks
        (close([0.3, 0.4, 0.5], [0.3, 0.2, 0.1]), "fits", None, None),
        # the validation loss falls on, and yet training runs away from it
        (history([1.0, 0.9, 0.8, 0.75], [0.98, 0.6, 0.2, 0.05]), "overfits", None, None),
        (history([1.0], [0.9]), "underfits", None, None),
        (history([0.2], [0.15]), "fits", None, None),
        (history([1.0], [0.1]), "overfits", None, None),
        ([{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5}], "unknown", None, None),
        ([], "unknown", None, None),
    ],
)
def test_the_verdict_on_a_curve(rows, word, loss_turned, accuracy_turned):
    verdict = judge(rows, 1000, 1000)
    assert (verdict.word, verdict.loss_turned, verdict.accuracy_turned) == (word, loss_turned, accuracy_turned)
    turned = [epoch for epoch in (loss_turned, accuracy_turned) if epoch is not None]
    assert verdict.turned == (turned[0] if turned else None)
    assert verdict.since == (max(turned) + 1 if turned else None)  # no epoch belongs to a gap
    assert verdict.text.startswith(f"{word} from epoch {verdict.since}" if turned else f"{word}:")


@pytest.mark.parametrize(
    ("rows", "since"),
    [
        (history([1.0, math.nan], [0.9, math.nan]), 2),
        (history([1.0, 0.9], [0.9, math.inf]), 2),
        # a loss that is a number, and explodes
        (history([1.0, 0.5, 1.0, 4.0, 9.0, 20.0], [1.0, 0.5, 1.0, 4.0, 9.0, 20.0]), 3),
    ],
)
def test_a_loss_that_explodes_diverges(rows, since):
    verdict = judge(rows)
    assert (verdict.word, verdict.since, verdict.turned) == ("diverges", since, None)


def test_the_sentence_says_how_sure_each_number_is():
    text = judge(OVERFITTING, 100, 100).text
    assert "validation loss turned at epoch 3 and ends 50 ± " in text
    assert "(± standard error)" in text
    assert "gap 19.6 points, 95 % interval 10.3 to 28.4" in text
    assert "surer of its mistakes" not in text
    surer = judge(SURER, 1000, 1000)
    assert "accuracy hasn't turned: it grows surer of its mistakes" in surer.text
    assert "training accuracy 100.0 % (known by heart)" in surer.text
    assert surer.memorised
    assert "loss hasn't turned" in judge(FORGETS, 1000, 1000).text
    assert "neither validation loss nor accuracy has turned" in judge(FITTING).text
    assert "too few epochs for a turn" in judge(FITTING[:3]).text


def test_what_still_improves_is_to_be_trained_on():
    verdict = judge(history([1.0, 0.8, 0.6, 0.5, 0.4], [1.0, 0.8, 0.6, 0.5, 0.4]), 1000, 1000)
    assert verdict.improving
    assert "train on before judging" in verdict.text
    for rows in (OVERFITTING, history([1.0, 0.5, 0.4, 0.4, 0.4], [1.0, 0.5, 0.4, 0.4, 0.4]), FITTING[:3]):
        assert not judge(rows, 1000, 1000).improving


def test_few_images_make_a_rise_and_a_gap_unsure():
    assert judge(SURER, 6000, 6000).loss_turned == 4
    assert judge(SURER, 100, 20).loss_turned is None
    # 0.4 of the loss for one mistake; what was recorded counts more than such an estimate
    recorded = [row | {"val_loss_se": 0.01} for row in SURER]
    assert judge(recorded, 100, 20).loss_turned == 4
    assert judge([row | {"val_loss_se": 0.1} for row in SURER], 6000, 6000).loss_turned is None
    # 7 points of 20 images may be none, of 3,000 hardly
    rows = history([0.3] * 5, [0.1] * 5, train_accuracy=[0.97] * 5, val_accuracy=[0.9] * 5)
    assert [judge(rows, 100, images).word for images in (20, 3000)] == ["fits", "overfits"]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.972, 1.0])
@pytest.mark.parametrize("images", [1, 7, 1000])
def test_the_interval_holds_the_gap(share, images):
    rows = history([0.3], [0.1], train_accuracy=[1.0], val_accuracy=[share])
    verdict = judge(rows, images, images)
    low, high = verdict.gap_interval
    assert -1 <= low <= verdict.gap <= high <= 1 + 1e-9
    for unknown in ((None, images), (images, None)):
        assert judge(rows, *unknown).gap_interval is None


@pytest.mark.parametrize("images", [1000, None])
def test_noise_alone_is_hardly_ever_a_turn_and_does_not_hide_one(images):
    level = [judge(close(noisy([0.3] * 40, 0.01, seed), FALLING), images, images) for seed in range(100)]
    assert sum(verdict.turned is not None for verdict in level) <= 10
    for seed in range(20):
        rising = noisy([max(2 * 0.8**e, 0.3 + 0.03 * (e - 9)) for e in EPOCHS], 0.02, seed)
        verdict = judge(close(rising, FALLING), images, images)
        assert verdict.word == "overfits"
        assert 5 <= verdict.turned <= 14


def test_epochs_without_validation_are_passed_over():
    rows = [row | {"epoch": 2 * row["epoch"]} for row in OVERFITTING]
    between = [{"epoch": row["epoch"] + 1, "seconds": 1.0} for row in rows]
    assert judge(sorted([*rows, *between], key=lambda row: row["epoch"])).turned == 6


def test_the_thresholds_are_the_rules():
    rows = close([0.5, 0.3, 0.3, 0.32, 0.325, 0.33, 0.33], FALLING[:7])
    assert judge(rows, 9999, 9999).word == "overfits"
    assert judge(rows, 9999, 9999, Rule(rise=11)).word == "fits"
    assert "11 %" in str(Rule(rise=11))


losses = st.floats(0, 1e6)


@given(st.lists(st.tuples(losses, losses, st.floats(0, 1), st.floats(0, 1)), max_size=12))
def test_any_curve_gets_a_verdict_that_points_into_it(rows):
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    curve = [{"epoch": i + 1, **dict(zip(keys, row, strict=True))} for i, row in enumerate(rows)]
    verdict = judge(curve, 100, 50)
    assert verdict.word != "unknown" or not rows
    assert (verdict.since is None) == (verdict.turned is None) or verdict.word == "diverges"
    assert verdict.since is None or 1 <= verdict.since <= len(rows)
    for turned in (verdict.loss_turned, verdict.accuracy_turned):
        assert turned is None or turned <= len(rows) - 3
    assert "nan" not in verdict.text
