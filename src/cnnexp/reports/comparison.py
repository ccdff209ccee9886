"""Runs side by side, as tables and as an image."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from cnnexp.reports.curves import FAINT, TRAIN
from cnnexp.reports.figures import new_figure

ALPHA = 0.05


def comparison_table(rows: Sequence[Mapping[str, Any]], batch_size: int) -> str:
    """Return a line a run; ``rows`` as ``compare_runs`` returns them."""
    width = max(5, *(len(row["model"]) for row in rows))
    lines = [
        f"   {'model':{width}}  accuracy   95 % interval        loss   parameters   multiply-adds"
        "   s an epoch   s per 1,000"
    ]
    lines += [
        f"{row['run']}  {row['model']:{width}}{row['test_accuracy']:10.2%}{row['low']:9.2%} to {row['high']:7.2%}"
        f"{row['test_loss']:9.4f}{row['parameters']:13,}{row['multiply_adds']:16,}"
        f"{row['seconds_per_epoch']:13.3g}{row['seconds_per_thousand']:14.3g}"
        for row in rows
    ]
    lines += [f"{row['run']}: {row['folder']}" for row in rows]
    lines.append(
        f"s an epoch: the training pass, median of the epochs, as recorded on {_devices(rows)}; s per 1,000: "
        f"images, forward pass in batches of {batch_size}, measured now on {rows[0]['device']}"
    )
    return "\n".join(lines)


def pairs_table(pairs: Sequence[Mapping[str, Any]], images: int) -> str:
    """Return a line a pair of runs, with what McNemar's test says of it."""
    several = len(pairs) > 1
    lines = [
        f"       difference   only the first right   only the second right   {'p (Holm)' if several else 'p':>8}"
    ]
    for pair in pairs:
        p = pair["p_value_holm"]
        verdict = "real" if p < ALPHA else "may be chance"
        lines.append(
            f"{pair['first']} - {pair['second']}{100 * pair['difference']:+11.2f}{pair['only_first_right']:23,}"
            f"{pair['only_second_right']:24,}   {_p(p):>8}   {verdict}"
        )
    lines.append(
        f"difference in points; McNemar's exact test on the {images:,} test images, real: p < {ALPHA}"
        + (f", adjusted for {len(pairs)} pairs" if several else "")
        + "\nIt compares these trained networks; another seed gives another network, so compare several seeds too."
    )
    return "\n".join(lines)


def draw_comparison(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy with its 95 % interval, size and cost of each run, a line a run."""
    figure = new_figure(12.0, 1.5 + 0.42 * len(rows))
    figure.suptitle(f"{rows[0]['test_images']:,} test images", fontsize=11)
    panels = figure.subplots(1, 5, sharey=True, width_ratios=(1.6, 1, 1, 1, 1))
    places = range(len(rows))
    accuracy, low, high = (np.array([row[key] for row in rows]) for key in ("test_accuracy", "low", "high"))
    spread = np.clip(np.stack([accuracy - low, high - accuracy]), 0, None)
    panels[0].errorbar(accuracy, places, xerr=spread, fmt="o", color=TRAIN, ecolor=FAINT, capsize=3, markersize=5)
    panels[0].xaxis.set_major_formatter(PercentFormatter(1.0))
    panels[0].set_xlabel("test accuracy, 95 % interval")
    panels[0].set_yticks(places, [f"{row['run']}  {row['model']}" for row in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    for axes, key, label, number in (
        (panels[1], "parameters", "parameters", _short),
        (panels[2], "multiply_adds", "multiply-adds an image", _short),
        (panels[3], "seconds_per_epoch", "seconds an epoch", "{:.3g}".format),
        (panels[4], "seconds_per_thousand", "seconds per 1,000 images", "{:.3g}".format),
    ):
        values = [row[key] for row in rows]
        bars = axes.barh(places, values, 0.6, color=TRAIN, alpha=0.5)
        axes.bar_label(bars, [number(value) for value in values], padding=3, fontsize=8)
        axes.margins(x=0.35)
        axes.set_xlabel(label)
        if number is _short:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels:
        axes.grid(axis="x", alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    return figure


def _short(value: float) -> str:
    return EngFormatter(places=2, sep=" ")(value)


def _devices(rows: Sequence[Mapping[str, Any]]) -> str:
    return " and ".join(sorted({row["trained_on"] or "an unknown device" for row in rows}))


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
