"""Figures of the searches for a learning rate and for a batch size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.training.lr_range import RangeTest


def draw_range_test(test: RangeTest, title: str) -> Figure:
    """Draw loss against learning rate, with the suggestion and the lowest point marked."""
    figure = new_figure(6.6, 4.2, title)
    axes = figure.subplots()
    axes.plot(test.learning_rates, test.losses, ".", color=FAINT, markersize=3, label="each step")
    axes.plot(test.learning_rates, test.smoothed, color=TRAIN, label="smoothed")
    axes.axvline(test.lowest, color=FAINT, linestyle=":", label=f"lowest at {test.lowest:.2g}")
    if test.suggestion is not None:
        height = np.interp(np.log(test.suggestion), np.log(test.learning_rates), test.smoothed)
        label = f"steepest: {test.suggestion:.2g}, the suggestion"
        axes.plot(test.suggestion, height, "o", color=VAL, label=label)
    axes.set_xscale("log")
    low, high = float(test.smoothed.min()), float(test.smoothed[0])
    # a loss that explodes would flatten all that matters
    margin = max(high - low, 0.1)
    axes.set_ylim(max(0.0, low - 0.15 * margin), high + 0.6 * margin)
    label_axes(axes, "learning rate", "cross-entropy (nats)", size=10)
    axes.legend(fontsize=8, loc="lower left")
    return figure


def draw_batch_sizes(rows: Sequence[Mapping[str, Any]], fastest: int, title: str) -> Figure:
    """Draw images a second against batch size; ``rows`` have ``batch_size`` and ``samples_per_second``."""
    figure = new_figure(6.6, 4.2, title)
    axes = figure.subplots()
    sizes, speeds = [row["batch_size"] for row in rows], [row["samples_per_second"] for row in rows]
    axes.plot(sizes, speeds, "o-", color=TRAIN, markersize=4)
    axes.plot(fastest, speeds[sizes.index(fastest)], "o", color=VAL, label=f"suggestion: {fastest}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes], rotation=45)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    label_axes(axes, "batch size", "images a second in training", size=10)
    axes.legend(fontsize=8)
    return figure
