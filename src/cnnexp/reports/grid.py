"""Curves of many runs as small multiples: a panel a configuration, its seeds in it."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cnnexp.reports.figures import FAINT, GAP_ALPHA, TRAIN, VAL, draw_gap, new_figure
from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import shortened, shown_value

MOST_PANELS = 24
MOST_SEEDS = 10


def draw_grid(study: Study, metric: str) -> Figure | None:
    """Draw ``loss`` or ``accuracy`` of every configuration, training beside validation; None without curves.

    A dot marks each run's best epoch, a dashed line the epoch at which validation loss (or accuracy) turned, the
    median over the seeds where it did in half of them or more. The band between the accuracies is the gap. Of
    more than 24 configurations 24 are drawn, evenly from the smallest generalization gap to the largest, and the
    best by validation among them. Its title is bold.
    """
    drawable, panels = _panels(study)
    if not drawable:
        return None
    columns = _columns(study, panels)
    rows = math.ceil(len(panels) / columns)
    few = "" if len(panels) == len(drawable) else f", {len(panels)} of {len(drawable)} configurations"
    figure = new_figure(max(6.0, 2.7 * columns), 2.15 * rows + 1.0, f"{metric}{few}")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for number, (axes, configuration) in enumerate(zip(grid.flat, panels, strict=False)):
        _draw_panel(axes, configuration, metric)
        if configuration is _best(study):
            axes.title.set_fontweight("bold")
        if number + columns >= len(panels):  # nothing below it
            axes.set_xlabel("epoch", fontsize=10)
            axes.tick_params(labelbottom=True)
    for axes in grid[:, 0]:
        axes.set_ylabel("cross-entropy (nats)" if metric == "loss" else metric, fontsize=10)
    first = grid.flat[0]  # all share its scales
    first.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    if metric == "accuracy":
        first.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        first.set_ylim(0, _top(panels))
    _legend(figure, metric, any(c.turned(metric) is not None for c in panels))
    return figure


def panels_told(study: Study, metric: str) -> str:
    """Return what `draw_grid` shows, in words; nothing of what isn't in it."""
    drawable, panels = _panels(study)
    told = [f"{metric.capitalize()} by epoch{'' if len(panels) == 1 else ', a panel a configuration'}"]
    if any(len(c.counted) > 1 for c in panels):
        told.append("a line a seed" if all(len(c.counted) <= MOST_SEEDS for c in panels) else "ten seeds of each")
    if _best(study) in panels:
        told.append("the title of the best by validation is bold")
    told.append("the dot is the best epoch")
    if any(c.turned(metric) is not None for c in panels):
        told.append(f"the dashed line the epoch at which validation {metric} turned")
    if metric == "accuracy":
        told.append("the band is the generalization gap")
    if len(panels) < len(drawable):
        told.append(
            f"{len(panels)} of {len(drawable)} configurations, evenly from the smallest gap to the largest, "
            "and the best"
        )
    return f"{'; '.join(told)}."


def _draw_panel(axes: Any, configuration: Configuration, metric: str) -> None:
    runs = [run for run in configuration.counted if run.record.history][:MOST_SEEDS]
    alpha = 1.0 if len(runs) == 1 else 0.65
    for run in runs:
        if metric == "accuracy":
            draw_gap(axes, run.record.history, GAP_ALPHA / len(runs))
        for part, colour in (("train", TRAIN), ("val", VAL)):
            points = [(r["epoch"], r[f"{part}_{metric}"]) for r in run.record.history if f"{part}_{metric}" in r]
            epochs, values = zip(*points, strict=True) if points else ((), ())
            marker = "." if len(points) == 1 else ""
            axes.plot(epochs, values, marker=marker, color=colour, linewidth=1.1, alpha=alpha)
            if part == "val" and run.numbers["best_epoch"] in epochs:
                at = epochs.index(run.numbers["best_epoch"])
                axes.plot(epochs[at], values[at], "o", color=VAL, markersize=4, markeredgecolor="white")
    if (turned := configuration.turned(metric)) is not None:
        axes.axvline(turned, color=VAL, linewidth=0.9, linestyle="--", zorder=0)
    axes.set_title(_title(configuration), fontsize=9)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=9)


def _legend(figure: Figure, metric: str, turned: bool) -> None:
    handles: list[Any] = [
        Line2D([], [], color=TRAIN, label="train, clean"),
        Line2D([], [], color=VAL, label="validation"),
        Line2D([], [], color=VAL, marker="o", markeredgecolor="white", linestyle="", label="best epoch"),
    ]
    if turned:
        label = f"validation {metric} turned"
        handles.append(Line2D([], [], color=VAL, linewidth=0.9, linestyle="--", label=label))
    if metric == "accuracy":
        handles.append(Patch(color=FAINT, alpha=GAP_ALPHA, linewidth=0, label="generalization gap"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)


def _best(study: Study) -> Configuration | None:
    """Return the leaderboard's best, None where there is nothing that it is better than."""
    several = len(study.configurations) > 1 and study.configurations[0].mean("val_accuracy") is not None
    return study.configurations[0] if several else None


def _panels(study: Study) -> tuple[list[Configuration], list[Configuration]]:
    """Return the configurations that have curves, and those of them that are drawn."""
    drawable = [c for c in study.by_settings if any(run.record.history for run in c.counted)]
    if len(drawable) <= MOST_PANELS:
        return drawable, drawable
    by_gap = np.argsort([c.mean("generalization_gap") or 0.0 for c in drawable], kind="stable")
    evenly = np.linspace(0, len(by_gap) - 1, MOST_PANELS).round().astype(int)
    best = [np.flatnonzero(by_gap == i)[0] for i, c in enumerate(drawable) if c is _best(study)]
    for place in best:  # instead of its nearest neighbour
        evenly[np.abs(evenly - place).argmin()] = place
    return drawable, [drawable[i] for i in sorted(by_gap[evenly])]


def _columns(study: Study, panels: Sequence[Configuration]) -> int:
    """Return the length of a row: the values of the setting that changes fastest, if its panels fill rows."""
    if study.swept:
        last = study.swept[-1]
        fastest = len({str(c.values.get(last)) for c in panels})
        if 2 <= fastest <= 6 and len(panels) % fastest == 0 and len(panels) <= 6 * fastest:
            return fastest
    return min(len(panels), 4 if len(panels) <= 12 else 6)


def _top(panels: Sequence[Configuration]) -> float:
    """Return the upper end of the loss axis: all there is, unless a few points tower above the others."""
    rows = [row for configuration in panels for run in configuration.counted for row in run.record.history]
    losses = np.array([row.get(key, math.nan) for row in rows for key in ("train_loss", "val_loss")])
    values = losses[np.isfinite(losses)]
    if not len(values):
        return 1.05
    return 1.05 * min(values.max(), 2 * np.quantile(values, 0.95, method="weibull")) or 1.0


def _title(configuration: Configuration, width: int = 32) -> str:
    if len(configuration.values) == 1 and len(configuration.label) > width:
        [(key, value)] = configuration.values.items()
        return shortened(shown_value(key, value), width)
    lines = textwrap.wrap(configuration.label, width + 1, break_long_words=False, break_on_hyphens=False)
    return "\n".join(shortened(line.rstrip(","), width) for line in lines[:3])
