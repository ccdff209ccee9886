"""The verdict on a run: learnt, gap and turn, and the word that follows: underfits, fits, overfits or diverges."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from cnnexp.evaluation.intervals import newcombe_interval
from cnnexp.ranking import rank

Word = Literal["overfits", "underfits", "fits", "diverges", "unknown"]

NEEDED = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")
_Rows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Rule:
    """The thresholds of `judge`."""

    # per cent by which the validation loss must end above its lowest value: Prechelt's alpha, who tries 1 to 5
    rise: float = 5.0
    drop: float = 0.01  # by which the validation accuracy must end below its highest value, a fraction
    errors: float = 1.5  # standard errors that a rise must exceed
    gap: float = 0.05  # generalization gap that counts as large, a fraction
    fitted: float = 0.9  # clean train accuracy from which a network counts as having learnt its training set
    by_heart: float = 0.995  # clean train accuracy from which it knows its training set by heart
    fall: float = 3.0  # per cent by which the validation loss falls in the last fifth of a run that still improves

    def __str__(self) -> str:
        points, fitted = 100 * self.gap, 100 * self.fitted
        return (
            "Turn: validation loss, smoothed by a running median of three epochs, is lowest at epoch k. It turned "
            "there if at least three epochs follow, of which the last three lie above it by more than "
            f"{self.rise:g} % (their mean and their median) and by more than {self.errors:g} standard errors, "
            "training loss fell further, and where six or more follow the straight line through them rises by "
            f"more than {self.errors:g} standard errors of its slope. The standard error is that of the epochs' "
            "jitter (from second differences) and of the validation images together (the recorded val_loss_se; "
            "where there is none, 0.5/√mistakes of the loss). Validation accuracy turned if the same is true of "
            f"the share of mistakes, with {100 * self.drop:g} point for the {self.rise:g} % and the binomial "
            "standard error. Fewer than four epochs give no turn. "
            "Gap: clean training accuracy less validation accuracy, means of the last three epochs, with "
            f"Newcombe's 95 % interval; it is large above {points:g} points if the interval lies above 0, and "
            f"below {fitted:g} % training accuracy if all of it lies above {points:g} points. No epoch belongs to "
            "a gap. "
            "The word: a run diverges if a loss stops being a number, or training loss ends above twice that of "
            "the first epoch; it overfits if it turned or its gap is large; otherwise it underfits if training "
            f"accuracy ends below {fitted:g} %, and fits if not. From {100 * self.by_heart:g} % on the training "
            "set is known by heart. A run that hasn't turned still improves if the straight line through the "
            f"last fifth of its validation losses (four epochs at least) falls by more than {self.fall:g} % of "
            f"them, and by more than {self.errors:g} standard errors of its slope. "
            "Sources: L. Prechelt, Early Stopping – But When? (1998), generalization loss; R. G. Newcombe, "
            "Statistics in Medicine 17 (1998), 873-890, method 10; T. Gasser, L. Sroka and C. Jennen-Steinmetz, "
            "Biometrika 73 (1986), 625-633; I. Goodfellow, Y. Bengio and A. Courville, Deep Learning (2016), "
            "sections 5.2 and 7.8."
        )


@dataclass(frozen=True)
class Verdict:
    """What the curves of a run say; None is what doesn't apply or isn't known, fractions are of 1."""

    word: Word
    text: str  # the same as a sentence, with the numbers and how sure they are
    since: int | None = None  # the epoch from which on it overfits or diverges; None where nothing turned
    loss_turned: int | None = None  # the epoch of the lowest validation loss, if it rose for good afterwards
    accuracy_turned: int | None = None  # the same of the highest validation accuracy
    rise: float | None = None  # by how much the validation loss ends above its lowest, of that
    rise_error: float | None = None  # its standard error
    train_accuracy: float | None = None  # clean, the mean of the last three epochs
    gap: float | None = None  # the generalization gap, means of the last three epochs
    gap_interval: tuple[float, float] | None = None  # 95 %; None where the numbers of images aren't known
    memorised: bool = False  # whether the training set is known by heart
    improving: bool = False  # whether validation loss still falls

    @property
    def turned(self) -> int | None:
        """The epoch at which the validation loss turned, or else the accuracy."""
        return self.accuracy_turned if self.loss_turned is None else self.loss_turned


def best_row(history: _Rows) -> Mapping[str, float]:
    """Return the epoch with the highest validation accuracy, of equals the lowest loss: that of ``best.ckpt``.

    Epochs without validation are passed over; raises ValueError where there is no other.
    """
    return max((row for row in history if "val_accuracy" in row), key=rank)


def judge(
    history: _Rows, train_images: int | None = None, val_images: int | None = None, rule: Rule = Rule()
) -> Verdict:
    """Judge a run by its curves; `Rule`, as text, says how.

    Args:
        history: the epochs' numbers, a dict an epoch, with ``epoch``, ``train_loss``, ``train_accuracy``,
            ``val_loss`` and ``val_accuracy``, clean; epochs without one of them are passed over. ``val_loss_se``
            is used where it is there.
        train_images: how many images the training numbers are measured on; None where that isn't known.
        val_images: the same of the validation numbers. Without it, nothing is known of their sampling error but
            ``val_loss_se``, and with either missing the gap has no interval.
        rule: the thresholds.
    """
    for row in history:
        if any(not math.isfinite(row[key]) for key in ("train_loss", "val_loss") if key in row):
            epoch = int(row["epoch"])
            return Verdict("diverges", f"diverges: the loss is no number after epoch {epoch}", since=epoch)
    rows = [row for row in history if all(key in row for key in NEEDED)]
    if not rows:
        return Verdict("unknown", "unknown: no epoch was both trained and validated")
    curve = {key: np.array([row[key] for row in rows]) for key in NEEDED}
    learnt, validated = (float(np.mean(curve[key][-3:])) for key in ("train_accuracy", "val_accuracy"))
    gap, interval = learnt - validated, None
    if train_images and val_images:
        interval = newcombe_interval(learnt, train_images, validated, val_images)
    known = Verdict(
        "unknown", "", train_accuracy=learnt, gap=gap, gap_interval=interval, memorised=learnt >= rule.by_heart
    )
    train, epochs = curve["train_loss"], curve["epoch"].astype(int)
    if np.median(train[-3:]) > 2 * train[0]:
        exploded = int(epochs[min(int(train.argmin()) + 1, len(rows) - 1)])
        text = f"diverges from epoch {exploded}: training loss ends at {train[-1]:.3g}, after {train.min():.3g}"
        return replace(known, word="diverges", text=text, since=exploded)

    level = max(float(_smooth(curve["val_loss"]).min()), 1e-12)
    mistakes = 1 - curve["val_accuracy"]
    loss = _turn(
        curve["val_loss"], train, rule.rise / 100 * level, _error_of_loss(rows, level, val_images), rule.errors
    )
    share = max(float(_smooth(mistakes).min()), 1 / (val_images or math.inf))
    binomial = math.sqrt(share * (1 - share) / val_images) if val_images else 0.0
    accuracy = _turn(mistakes, train, rule.drop, binomial, rule.errors)
    turns = [int(epochs[turn.lowest]) if turn.real else None for turn in (loss, accuracy)]
    large = gap > rule.gap and (interval is None or interval[0] > (0 if learnt >= rule.fitted else rule.gap))
    turned = [turn for turn in turns if turn is not None]
    word: Word = "overfits" if turned or large else "underfits" if learnt < rule.fitted else "fits"
    since = max(turned, default=-1) + 1 or None
    fell = _fall(curve["val_loss"], rule.errors)
    improving = not turned and fell > rule.fall / 100
    told = [
        _told_turn(turns, loss, level, accuracy, len(rows)),
        _told_gap(gap, interval),
        f"training accuracy {100 * learnt:.1f} %{' (known by heart)' if learnt >= rule.by_heart else ''}",
    ]
    if improving:
        told.append(
            f"validation loss still falls (straight line through the last epochs: {100 * fell:.0f} % in a fifth "
            "of the run): train on before judging"
        )
    text = f"{word}{f' from epoch {since}' if since else ''}: {'; '.join(told)}"
    return replace(
        known, word=word, text=text, since=since, loss_turned=turns[0], accuracy_turned=turns[1],
        rise=loss.rise / level, rise_error=loss.error / level, improving=improving,
    )  # fmt: skip


@dataclass(frozen=True)
class _Turn:
    lowest: int  # index of the smoothed curve's lowest point
    rise: float  # by how much the last three epochs lie above it
    error: float  # the standard error of that
    real: bool


def _turn(values: np.ndarray, train: np.ndarray, least: float, sampling: float, errors: float) -> _Turn:
    """Ask whether a curve, lower being better, turned: `Rule` says in words when it did.

    Args:
        values: the curve, shape (epochs,).
        train: the training losses, the same shape.
        least: what its rise has to exceed.
        sampling: the standard error of the rise that comes of the number of images.
        errors: how many standard errors it has to exceed.
    """
    smooth = _smooth(values)
    lowest, end = int(smooth.argmin()), values[-3:]
    # a sharp turn is flat once smoothed: of equally low epochs the one that is lowest itself
    at = int(np.lexsort((values, smooth))[0])
    rise, after = float(end.mean() - smooth[lowest]), values[lowest + 1 :]
    jitter = _jitter(values, lowest)
    # a mean of three varies by 1/3 of the variance of one, a median of three by 0.449
    error = math.hypot(math.sqrt(1 / 3 + 0.449) * jitter, sampling)
    # of a spike one epoch is high, so that the median isn't
    high = min(rise, float(np.median(end)) - smooth[lowest]) > least and rise > errors * error
    real = len(values) - at > 3 and high and _smooth(train)[-1] < _smooth(train)[lowest]
    if real and len(after) >= 6:
        # the lowest of many is low by chance too, but what follows knows nothing of that
        slope, error_of_slope = _slope(after, jitter)
        real = slope > errors * error_of_slope
    return _Turn(at, rise, error, bool(real))


def _fall(losses: np.ndarray, errors: float) -> float:
    """Return by which fraction the last fifth of the epochs lowered the loss, 0 where that may be jitter."""
    fifth = max(1, round(len(losses) / 5))
    if len(losses) < 4:
        return 0.0
    end = losses[-max(fifth + 1, 4) :]
    slope, error = _slope(end, _jitter(losses, int(_smooth(losses).argmin())))
    return -slope * fifth / max(float(end.mean()), 1e-12) if -slope > errors * error else 0.0


def _slope(values: np.ndarray, jitter: float) -> tuple[float, float]:
    """Return the slope of the straight line through values an epoch apart, and its standard error."""
    places = np.arange(len(values)) - (len(values) - 1) / 2
    square = float(places @ places)
    return float(places @ values) / square, jitter / math.sqrt(square)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Return the running median of three; at either end, of two."""
    ends = [values[:2].mean()], [values[-2:].mean()]
    inner = np.median(np.stack([values[:-2], values[1:-1], values[2:]]), axis=0) if len(values) > 2 else []
    return np.concatenate([ends[0], inner, ends[1]])[-len(values) :]


def _jitter(values: np.ndarray, lowest: int) -> float:
    """Return the standard deviation of the noise around the end of a curve, 0 for one too short to tell.

    From second differences, whose variance is 6 times that of the noise, as in Gasser, Sroka and
    Jennen-Steinmetz, Residual variance and residual pattern in nonlinear regression (Biometrika 73, 1986); by
    their median, so that a few steps don't count (0.6745: the upper quartile of the normal distribution). The
    steep beginning would pass for noise: the epochs from the lowest on are looked at, or the last half, but
    eight at least.
    """
    second = np.diff(values[min(lowest, len(values) // 2, max(0, len(values) - 8)) :], 2)
    return float(np.median(np.abs(second))) / (0.6745 * math.sqrt(6)) if len(values) > 4 else 0.0


def _error_of_loss(rows: _Rows, level: float, images: int | None) -> float:
    """Return the standard error of the validation loss's rise that comes of the number of images."""
    recorded = [row["val_loss_se"] for row in rows[-3:] if math.isfinite(row.get("val_loss_se", math.nan))]
    if recorded:
        return float(np.median(recorded))
    if not images:
        return 0.0
    # of images that are the same at both epochs; most of the loss is that of the mistakes
    mistakes = images * (
        1 - rows[int(_smooth(np.array([row["val_loss"] for row in rows])).argmin())]["val_accuracy"]
    )
    return 0.5 * level / math.sqrt(max(mistakes, 1.0))


def _told_turn(turns: Sequence[int | None], loss: _Turn, level: float, accuracy: _Turn, epochs: int) -> str:
    """Say what turned, and by how much it rose: the standard error stands behind the ±."""
    by_loss, by_accuracy = turns
    if epochs < 4:
        return "too few epochs for a turn"
    risen = f"{100 * loss.rise / level:.0f} ± {100 * loss.error / level:.0f} %"
    fallen = f"{100 * accuracy.rise:.1f} ± {100 * accuracy.error:.1f} points"
    if by_loss and by_accuracy:
        return (
            f"validation loss turned at epoch {by_loss} and ends {risen} above it, accuracy turned at epoch "
            f"{by_accuracy} and ends {fallen} below it (± standard error)"
        )
    if by_loss:
        return (
            f"validation loss turned at epoch {by_loss} and ends {risen} above it (± standard error), accuracy "
            "hasn't turned: it grows surer of its mistakes"
        )
    if by_accuracy:
        return (
            f"validation accuracy turned at epoch {by_accuracy} and ends {fallen} below it (± standard error), "
            "loss hasn't turned"
        )
    return "neither validation loss nor accuracy has turned"


def _told_gap(gap: float, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return f"gap {100 * gap:.1f} points (of unknown numbers of images)"
    return f"gap {100 * gap:.1f} points, 95 % interval {100 * interval[0]:.1f} to {100 * interval[1]:.1f}"
