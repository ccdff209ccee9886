"""Figures of what a network gets wrong."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from cnnexp.evaluation.mistakes import Calibration, rates
from cnnexp.reports.figures import FAINT, TRAIN, VAL, draw_intervals, new_figure

MOST_LABELLED = 25  # classes up to which every cell and every row has its text


def draw_confusion(matrix: Tensor, class_names: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix: counts, and shares of the true class; what is right in blue, mistakes in red.

    Blue goes from 0 to 1, red up to the largest share of mistakes, so that they show where most is right.
    ``matrix`` is int64, shape (classes, classes), rows the true classes.
    """
    classes = len(class_names)
    share = rates(matrix).numpy()
    few = classes <= MOST_LABELLED
    side = max(4.5, 0.62 * classes) if few else 10.0
    figure = new_figure(side + 1.6, side + 0.6, title)
    axes = figure.subplots()
    diagonal = np.eye(classes, dtype=bool)
    wrong = np.ma.masked_array(share, mask=diagonal)
    most = float(wrong.max() or 0) or 1.0
    axes.imshow(np.ma.masked_array(share, mask=~diagonal), cmap="Blues", vmin=0, vmax=1)
    image = axes.imshow(wrong, cmap="Reds", vmin=0, vmax=most)
    label = "share of the true class that is mistaken"
    figure.colorbar(image, ax=axes, label=label, shrink=0.6, format=PercentFormatter(1.0))
    axes.set(xlabel="predicted class", ylabel="true class")
    size = 8.0 if few else max(3.0, 420 / classes)
    rotation = 90 if max(map(len, class_names)) > 2 else 0
    axes.set_xticks(range(classes), class_names, rotation=rotation, fontsize=size)
    axes.set_yticks(range(classes), class_names, fontsize=size)
    if few:
        for (row, column), count in np.ndenumerate(matrix.numpy()):
            if count:
                dark = share[row, column] > 0.6 * (1.0 if row == column else most)
                text, colour = f"{count}\n{share[row, column]:.1%}", "white" if dark else "black"
                axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
    return figure


def draw_calibration(measured: Calibration, title: str) -> Figure:
    """Draw accuracy against confidence, bin by bin, and how many images each bin holds."""
    figure = new_figure(5.4, 6.0, title)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    edges, bins = measured.edges.numpy(), len(measured.images)
    middle, width = (edges[1:] + edges[:-1]) / 2, 1 / bins
    accuracy, confidence = measured.accuracy.numpy(), measured.confidence.numpy()
    above.bar(middle, accuracy, width, color=TRAIN, alpha=0.35, edgecolor=TRAIN, label="accuracy in the bin")
    above.plot(confidence, accuracy, "o", color=TRAIN, markersize=4, label="at its mean confidence")
    above.vlines(confidence, accuracy, confidence, color=VAL, label="distance from calibrated")
    above.plot([0, 1], [0, 1], "--", color=FAINT, label="calibrated")
    above.set_title(
        f"expected calibration error {measured.error:.2%}, {bins} bins of equal width; by chance alone "
        f"{measured.by_chance[0]:.2%}, 95 % below {measured.by_chance[1]:.2%}",
        fontsize=7,
    )
    above.legend(fontsize=8, loc="upper left")
    above.set(ylabel="accuracy", ylim=(-0.01, 1.01))
    above.yaxis.set_major_formatter(PercentFormatter(1.0))
    below.bar(middle, measured.images.numpy(), width, color=FAINT)
    below.set_yscale("symlog", linthresh=1)
    below.set_ylim(bottom=0)
    below.set(xlabel="confidence (probability of the predicted class)", xlim=(0, 1), ylabel="images")
    below.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def draw_class_accuracy(rows: Sequence[dict], overall: float, title: str) -> Figure:
    """Draw each class's accuracy with its 95 % Wilson interval, the lowest on top, and the accuracy over all.

    ``rows`` are as ``accuracy_per_class`` returns them.
    """
    rows = sorted((row for row in rows if row["images"]), key=lambda row: -row["accuracy"])
    figure = new_figure(6.0, max(2.6, 0.9 + (0.28 if len(rows) <= 40 else 0.13) * len(rows)), title)
    axes = figure.subplots()
    draw_intervals(axes, rows, "accuracy", capsize=2, markersize=4)
    axes.axvline(overall, color=VAL, linestyle="--", linewidth=1, label=f"all: {overall:.2%}")
    axes.set_yticks(range(len(rows)), [row["class"] for row in rows], fontsize=8 if len(rows) <= 40 else 5)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_xlabel("accuracy, with its 95 % Wilson interval")
    axes.legend(fontsize=8, loc="best")
    return figure
