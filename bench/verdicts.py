"""``python -m bench.verdicts``: how often the verdict on a learning curve is right, where the truth is known.

Each image has a margin m = a(t) + noise of its own, drawn once: it is right if m > 0, and its loss is
log(1 + 9^exp(-1.5 s(t)) exp(-s(t) m)). a and s, the network's course in training and validation, are drawn for
each curve within its kind; all images share the jitter of each epoch. The truth is the same course without jitter,
over all of the noise's distribution: it says whether validation loss or accuracy turns, how large the gap is, and
what one loses by stopping where the verdict says that it began to overfit.
"""

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bench.shares import share
from cnnexp.reports.verdicts import judge

ALL = norm.ppf((np.arange(2001) + 0.5) / 2001)
"""The noise's distribution, as so many quantiles."""
Row = dict[str, float]
Draw = Callable[[float, float], float]


@dataclass(frozen=True)
class Course:
    """A network's way: margins and confidence in training and validation, of shape (epochs,), and the images."""

    train: np.ndarray
    val: np.ndarray
    sure: np.ndarray
    sure_of_val: np.ndarray
    images: tuple[int, int] = (1000, 1000)
    jitter: float = 0.035
    spikes: float = 0.0  # share of epochs that are thrown back


def grown(epochs: int, start: float, end: float, time: float) -> np.ndarray:
    """Return a course that nears its end exponentially."""
    return end - (end - start) * np.exp(-np.arange(epochs) / time)


def falling(epochs: int, after: float, by: float) -> np.ndarray:
    """Return factors from 1 to 1 - ``by``, a straight line from the share ``after`` of the epochs on."""
    return 1 - by * np.clip((np.arange(epochs) / (epochs - 1) - after) / (1 - after), 0, None)


def courses(kind: str, rng: np.random.Generator) -> Course:
    """Draw a course of a kind, one of `KINDS`."""
    draw = rng.uniform
    epochs = int(rng.integers(12, 60))
    time = epochs / draw(5, 10)
    sizes = (60, 100, 144) if kind.startswith("few images") else (500, 1000, 2000, 6000)
    images = (int(rng.choice((1000, 2000, 6000))), int(rng.choice(sizes)))
    start, sure = draw(-0.6, 0.0), grown(epochs, 0.8, draw(2.2, 2.6), time)
    jitter = draw(0.08, 0.14) if kind.startswith("jittery") else draw(0.02, 0.05)
    val = grown(epochs, start, draw(1.8, 2.2), time)
    fits = Course(val + draw(0.0, 0.1), val, sure, sure, images, jitter)
    if "overfits" in kind:
        val = grown(epochs, start, draw(1.0, 1.6), time)
        sure = grown(epochs, 0.9, 6.5, 3 * time)
        worse = grown(epochs, 0.9, 2.0, time) * falling(epochs, 0.25, draw(0.25, 0.5))
        return Course(grown(epochs, start, 3.5, 1.5 * time), val, sure, worse, images, jitter)
    if kind == "gap":
        val = grown(epochs, start, draw(0.3, 0.9), time)
        sure = grown(epochs, 0.5, draw(1.2, 1.6), time)
        return Course(grown(epochs, start, 2.4, time), val, sure, sure, images, jitter)
    if kind == "late turn":
        val = grown(epochs, start, draw(1.3, 1.6), time)
        sure = grown(epochs, 0.8, 5.0, 3 * time)
        worse = grown(epochs, 0.8, 2.5, time) * falling(epochs, draw(0.4, 0.7), draw(0.15, 0.35))
        return Course(grown(epochs, start, 3.5, 2 * time), val, sure, worse, images, jitter)
    if kind == "forgets":
        val = grown(epochs, start, 2.0, time) - draw(0.6, 1.2) * np.clip(np.arange(epochs) / epochs - 0.3, 0, None)
        sure = grown(epochs, 0.5, 1.2, time)
        return Course(grown(epochs, start, 2.0, 3 * time), val, sure, sure, images, jitter)
    if kind == "surer":
        val = grown(epochs, 1.2, draw(2.0, 2.3), time)
        sure = grown(epochs, 2.4, 7.0, 2 * time)
        worse = grown(epochs, 2.4, 3.8, time) * falling(epochs, 0.3, draw(0.2, 0.35))
        return Course(grown(epochs, 1.2, 3.6, 2 * time), val, sure, worse, images, jitter)
    if kind == "underfits":
        val = grown(epochs, -1.2, draw(-0.6, 0.8), time)
        sure = grown(epochs, 0.1, 0.4, time)
        return Course(val + 0.02, val, sure, sure, images, jitter)
    if kind == "spikes":
        return Course(fits.train, val, sure, sure, images, jitter, 0.1)
    if kind == "short":
        few = int(rng.integers(1, 4))
        return Course(fits.train[:few], val[:few], sure[:few], sure[:few], images, jitter)
    return fits


KINDS = (
    "fits", "jittery fits", "few images fits", "overfits", "jittery overfits", "few images overfits", "gap",
    "late turn", "forgets", "surer", "underfits", "spikes", "short",
)  # fmt: skip


def losses(margin: float, sure: float, noise: np.ndarray) -> np.ndarray:
    """Return the images' losses, shape (images,)."""
    return np.log1p(9 ** np.exp(-1.5 * sure) * np.exp(-sure * (margin + noise)))


def measured(course: Course, rng: np.random.Generator | None) -> list[Row]:
    """Return a course's rows as metrics.csv has them; without a generator the truth."""
    noise = [ALL if rng is None else rng.standard_normal(images) for images in course.images]
    rows: list[Row] = []
    lowest: tuple[float, np.ndarray] | None = None
    for epoch, at in enumerate(zip(course.train, course.val, course.sure, course.sure_of_val, strict=True)):
        off = factor = 0.0
        if rng is not None:
            off = rng.normal(0, course.jitter) - (rng.random() < course.spikes) * rng.uniform(0.3, 1)
            factor = rng.normal(0, 0.03)
        row: Row = {"epoch": epoch + 1}
        for part, margin, sure, own in zip(("train", "val"), at[:2], at[2:], noise, strict=True):
            each = losses(margin + off, sure * np.exp(factor), own)
            row |= {f"{part}_loss": float(each.mean()), f"{part}_accuracy": float((margin + off + own > 0).mean())}
        if lowest is not None:
            row["val_loss_se"] = float((each - lowest[1]).std(ddof=1) / np.sqrt(len(each)))
        if lowest is None or row["val_loss"] < lowest[0]:
            lowest = row["val_loss"], each
        rows.append(row)
    return rows


def truth(rows: list[Row]) -> tuple[bool | None, set[str]]:
    """Return whether a course turns (None: by so little that both is right), and the words that are right."""
    loss, accuracy = (np.array([row[f"val_{name}"] for row in rows]) for name in ("loss", "accuracy"))
    rise, drop = loss[-1] / loss.min() - 1, accuracy.max() - accuracy[-1]
    lowest = int(loss.argmin() if rise >= 0.1 else accuracy.argmax())
    improves = len(rows) - lowest > 2 and rows[-1]["train_loss"] < rows[lowest]["train_loss"]
    turned = True if (rise >= 0.1 or drop >= 0.02) and improves else None
    if rise <= 0.03 and drop <= 0.005:
        turned = False
    learnt = rows[-1]["train_accuracy"]
    gap = learnt - rows[-1]["val_accuracy"]
    words = {"underfits"} if learnt < 0.85 else {"fits"} if learnt > 0.95 else {"underfits", "fits"}
    if turned or gap >= 0.1:
        words = {"overfits"} | ({"fits"} if gap <= 0.03 else set()) | ({"underfits"} if learnt < 0.85 else set())
    elif turned is None or gap > 0.03:
        words |= {"overfits"}
    return turned, words


@dataclass
class Score:
    """What became of many curves."""

    counts: Counter[str]
    lost: list[float]  # points of true accuracy, by stopping where a verdict names an epoch
    wrong: Counter[str]  # mistakes by kind

    def lines(self) -> list[str]:
        """Return it in sentences."""
        counts, lost = self.counts, self.lost
        named = (
            f"{sum(points >= 1 for points in lost)} of {len(lost)}, {np.mean(lost or [0]):.2f} points on average"
        )
        return [
            f"words right: {share(counts['right'], counts['curves'])}",
            f"turns missed: {share(counts['missed'], counts['turn'])}",
            f"turns where there is none: {share(counts['false'], counts['no turn'])}",
            f"stopping at the epoch named loses a point or more: {named}",
            f"mistakes by kind: {', '.join(f'{kind} {count}' for kind, count in self.wrong.most_common())}",
        ]


def score(curves: int, seed: int = 0, recorded: bool = True) -> Score:
    """Judge so many curves of each kind; ``recorded`` is whether the rule sees ``val_loss_se``."""
    counts, wrong, lost = Counter[str](), Counter[str](), list[float]()
    for number, kind in enumerate(KINDS):
        for curve in range(curves):
            rng = np.random.default_rng((seed, number, curve))
            course = courses(kind, rng)
            ideal, rows = measured(course, None), measured(course, rng)
            if not recorded:
                rows = [{key: value for key, value in row.items() if key != "val_loss_se"} for row in rows]
            turns, words = truth(ideal)
            verdict = judge(rows, *course.images)
            said = verdict.turned is not None
            counts["curves"] += 1
            counts["right"] += verdict.word in words
            if turns is not None:
                counts["turn" if turns else "no turn"] += 1
                counts["missed" if turns else "false"] += said != turns
            wrong[kind] += verdict.word not in words or (turns is not None and said != turns)
            if verdict.since is not None and verdict.word == "overfits":
                accuracy = [row["val_accuracy"] for row in ideal][max(0, verdict.since - 2) :]
                lost.append(100 * (max(accuracy) - accuracy[0]))
    return Score(counts, lost, wrong)


def main() -> None:
    """Draw and judge as many curves as the arguments say, and print the score."""
    parser = argparse.ArgumentParser(prog="python -m bench.verdicts", description=__doc__)
    parser.add_argument("--curves", type=int, default=20, help="of each kind (20 take half a minute)")
    parser.add_argument("--seed", type=int, default=0, help="other curves")
    arguments = parser.parse_args()
    for recorded in (True, False):
        column = "with val_loss_se" if recorded else "without val_loss_se"
        print(f"{arguments.curves} curves of each of {len(KINDS)} kinds, {column}")
        print(*(f"  {line}" for line in score(arguments.curves, arguments.seed, recorded).lines()), sep="\n")


if __name__ == "__main__":
    main()
