"""The curves of one run: loss and accuracy, training beside validation."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.reports.verdicts import best_row


def draw_curves(history: Sequence[Mapping[str, float]], title: str) -> Figure:
    """Draw the epochs' numbers (a dict an epoch, as ``Classifier.history``) and mark the best epoch.

    The figure belongs to no window and no pyplot state: nothing is left open.
    """
    figure = new_figure(9.0, 3.8, title, layout=None)
    # fixed margins: matplotlib's layout engines draw all of it once or twice more to find some
    margins = {"left": 0.075, "right": 0.985, "top": 0.85, "bottom": 0.13, "wspace": 0.2}
    left, right = figure.subplots(1, 2, gridspec_kw=margins)
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) <= 30 else ""
    for axes, metric in ((left, "loss"), (right, "accuracy")):
        for key, label, colour, style in (
            (f"running_{metric}", "train, running", FAINT, ":"),
            (f"train_{metric}", "train, clean", TRAIN, "-"),
            (f"val_{metric}", "validation", VAL, "-"),
        ):
            values = [row.get(key, float("nan")) for row in history]
            axes.plot(epochs, values, style, color=colour, label=label, marker=marker, markersize=3.5)
        label_axes(axes, "epoch", "cross-entropy (nats)" if metric == "loss" else "", size=10)
        axes.set_title(metric, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    if any("val_accuracy" in row for row in history):
        best = best_row(history)
        for axes in (left, right):
            axes.axvline(best["epoch"], color=FAINT, linewidth=0.8, linestyle="--", zorder=0)
        right.annotate(
            f"best: epoch {best['epoch']:.0f}, {best['val_accuracy']:.2%}",
            (best["epoch"], best["val_accuracy"]),
            xytext=(0, -14), textcoords="offset points", fontsize=8, color=VAL, va="top",
            ha="right" if best["epoch"] > (epochs[0] + epochs[-1]) / 2 else "left",
        )  # fmt: skip
    right.legend(fontsize=8, loc="best")
    return figure
