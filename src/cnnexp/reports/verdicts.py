"""The verdict on a run: whether it underfits, fits or overfits, and from which epoch on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

import numpy as np

from cnnexp.ranking import rank

Word = Literal["overfits", "underfits", "fits", "diverges", "unknown"]

LEAST_FOR_NOISE = 8
NEEDED = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True)
class Rule:
    """The thresholds of `judge`."""

    # per cent by which the validation loss must end above its lowest value: Prechelt's alpha, who tries 1 to 5
    rise: float = 5.0
    gap: float = (
        0.05  # generalization gap (clean train accuracy less val accuracy) that counts as large, a fraction
    )
    fitted: float = 0.9  # clean train accuracy from which a network counts as having learned its training set
    jitter: float = 5.0  # how many standard deviations of the validation loss's own noise a rise must exceed

    def __str__(self) -> str:
        return (
            f"A run overfits if its validation loss ends more than {self.rise:g} % above its lowest value in each "
            f"of the last two epochs (and by more than {self.jitter:g} standard deviations of its own noise) "
            "while the clean training loss fell further. It also overfits if in the last two epochs clean "
            f"training accuracy lies more than {100 * self.gap:g} points above validation accuracy and validation "
            f"loss more than {self.rise:g} % above clean training loss. Otherwise it underfits if clean training "
            f"accuracy ends below {100 * self.fitted:g} %, and fits if not. Sources: the rise is the "
            "generalization loss GL of L. Prechelt, Early Stopping – But When? (1998); underfitting and "
            "overfitting as a large training error and a large gap are those of Goodfellow, Bengio and Courville, "
            "Deep Learning (2016), sections 5.2 and 7.8."
        )


@dataclass(frozen=True)
class Verdict:
    """What the curves of a run say; None is what doesn't apply or isn't known."""

    word: Word
    text: str  # the same as a sentence, with the numbers
    since: int | None = None  # the epoch from which on it overfits or diverges
    turned: int | None = None  # the epoch of the lowest validation loss, if it rose for good afterwards
    rise: float | None = None  # by how much the last validation loss lies above the lowest, a fraction
    gap: float | None = None  # the generalization gap after the last epoch, a fraction


def best_row(history: Sequence[Mapping[str, float]]) -> Mapping[str, float]:
    """Return the epoch with the highest validation accuracy, of equals the lowest loss: that of ``best.ckpt``.

    Epochs without validation are passed over; raises ValueError where there is no other.
    """
    return max((row for row in history if "val_accuracy" in row), key=rank)


def judge(history: Sequence[Mapping[str, float]], rule: Rule = Rule()) -> Verdict:
    """Judge a run by its curves: it diverges if a loss stops being a number, and else `Rule` says what it does.

    A run whose validation loss has turned overfits from the epoch after the lowest one. A run whose gap is large
    does from the first epoch since which the gap has stayed large; validation loss counts beside accuracy, because
    accuracy is coarse on few images. A single epoch is judged by its gap.

    Args:
        history: the epochs' numbers, a dict an epoch, with ``epoch``, ``train_loss``, ``train_accuracy``,
            ``val_loss`` and ``val_accuracy``; epochs without one of them are passed over.
        rule: the thresholds.
    """
    for row in history:
        if any(not math.isfinite(row[key]) for key in ("train_loss", "val_loss") if key in row):
            epoch = int(row["epoch"])
            return Verdict("diverges", f"diverges: the loss is no number after epoch {epoch}", since=epoch)
    rows = [row for row in history if all(key in row for key in NEEDED)]
    if not rows:
        return Verdict("unknown", "unknown: no epoch was both trained and validated")
    gap = rows[-1]["train_accuracy"] - rows[-1]["val_accuracy"]
    losses = [row["val_loss"] for row in rows]
    lowest = losses.index(min(losses))
    rise = losses[-1] / losses[lowest] - 1 if losses[lowest] > 0 else 0.0
    points = f"the gap is {100 * gap:.1f} points"
    if _turned(rows, lowest, rule):
        turned, since = (int(row["epoch"]) for row in rows[lowest : lowest + 2])
        text = (
            f"overfits from epoch {since}: validation loss ends {100 * rise:.0f} % above its lowest "
            f"(epoch {turned}) while training loss falls; {points}"
        )
        return Verdict("overfits", text, since, turned, rise, gap)
    large = sum(1 for _ in takewhile(lambda row: _large_gap(row, rule), reversed(rows)))
    if large >= min(2, len(rows)):
        since = int(rows[-large]["epoch"])
        still = "still falls" if lowest == len(rows) - 1 else "hasn't turned"
        text = f"overfits from epoch {since}: {points}, though validation loss {still}"
        return Verdict("overfits", text, since, None, rise, gap)
    accuracy = f"training accuracy is {100 * rows[-1]['train_accuracy']:.1f} %"
    word: Word = "underfits" if rows[-1]["train_accuracy"] < rule.fitted else "fits"
    return Verdict(word, f"{word}: {accuracy}, {points}", rise=rise, gap=gap)


def _large_gap(row: Mapping[str, float], rule: Rule) -> bool:
    return (
        row["train_accuracy"] - row["val_accuracy"] > rule.gap
        and row["val_loss"] > (1 + rule.rise / 100) * row["train_loss"]
    )


def _turned(rows: Sequence[Mapping[str, float]], lowest: int, rule: Rule) -> bool:
    losses = [row["val_loss"] for row in rows]
    # one epoch above the lowest is no trend yet
    if len(rows) - lowest < 3 or rows[-1]["train_loss"] >= rows[lowest]["train_loss"]:
        return False
    rise = min(losses[-2:]) - losses[lowest]
    return rise > max(rule.rise / 100 * losses[lowest], rule.jitter * _noise(losses, lowest))


def _noise(losses: Sequence[float], lowest: int) -> float:
    """Return the standard deviation of the noise around the end of a curve, 0 for one too short to tell.

    From second differences, whose variance is 6 times that of the noise, as in Gasser, Sroka and
    Jennen-Steinmetz, Residual variance and residual pattern in nonlinear regression (Biometrika 73, 1986); by
    their median, so that a few steps don't count (0.6745: the upper quartile of the normal distribution). The
    steep beginning would pass for noise: only the epochs from the lowest on are looked at, eight at least.
    """
    if len(losses) < LEAST_FOR_NOISE:
        return 0.0
    end = losses[min(lowest, len(losses) - LEAST_FOR_NOISE) :]
    return float(np.median(np.abs(np.diff(end, 2)))) / (0.6745 * math.sqrt(6))
