"""The curves of one run: loss and accuracy, training beside validation, with the gap and the turn."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cnnexp.reports.figures import FAINT, TRAIN, VAL, draw_gap, label_axes, new_figure
from cnnexp.reports.verdicts import Verdict, best_row, judge


def draw_curves(history: Sequence[Mapping[str, float]], title: str, verdict: Verdict | None = None) -> Figure:
    """Draw the epochs' numbers (a dict an epoch, as ``Classifier.history``).

    The best epoch is marked, the gap is a band between the accuracies, and a dashed line stands where validation
    loss or accuracy turned. ``verdict`` is the run's; without one it is judged as one with unknown numbers of
    images. The figure belongs to no window and no pyplot state: nothing is left open.
    """
    verdict = verdict or judge(history)
    figure = new_figure(9.0, 3.8, title, layout=None)
    # fixed margins: matplotlib's layout engines draw all of it once or twice more to find some
    margins = {"left": 0.075, "right": 0.985, "top": 0.85, "bottom": 0.13, "wspace": 0.2}
    left, right = figure.subplots(1, 2, gridspec_kw=margins)
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(history) <= 30 else ""
    for axes, metric, turned in (
        (left, "loss", verdict.loss_turned),
        (right, "accuracy", verdict.accuracy_turned),
    ):
        for key, label, colour, style in (
            (f"running_{metric}", "train, running", FAINT, ":"),
            (f"train_{metric}", "train, clean", TRAIN, "-"),
            (f"val_{metric}", "validation", VAL, "-"),
        ):
            values = [row.get(key, float("nan")) for row in history]
            axes.plot(epochs, values, style, color=colour, label=label, marker=marker, markersize=3.5)
        if turned is not None:
            axes.axvline(
                turned, color=VAL, linewidth=1.0, linestyle="--", zorder=0, label=f"turned: epoch {turned}"
            )
        label_axes(axes, "epoch", "cross-entropy (nats)" if metric == "loss" else "", size=10)
        axes.set_title(metric, fontsize=10)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    draw_gap(right, history, label="" if verdict.gap is None else _gap(verdict))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    if any("val_accuracy" in row for row in history):
        best = best_row(history)
        right.plot(best["epoch"], best["val_accuracy"], "o", color=VAL, markersize=7, markeredgecolor="white")
        right.annotate(
            f"best: epoch {best['epoch']:.0f}, {best['val_accuracy']:.2%}",
            (best["epoch"], best["val_accuracy"]),
            xytext=(0, -14), textcoords="offset points", fontsize=8, color=VAL, va="top",
            ha="right" if best["epoch"] > (epochs[0] + epochs[-1]) / 2 else "left",
        )  # fmt: skip
    for axes in (left, right):
        axes.legend(fontsize=8, loc="best")
    return figure


def _gap(verdict: Verdict) -> str:
    text = f"gap at the end: {100 * (verdict.gap or 0.0):.1f} points"
    if verdict.gap_interval is None:
        return text
    low, high = verdict.gap_interval
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}]"
