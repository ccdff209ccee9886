"""Runs side by side, as tables and as a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from cnnexp.reports.figures import TRAIN, draw_intervals, new_figure
from cnnexp.reports.tables import in_columns, interval

ALPHA = 0.05


def comparison_table(rows: Sequence[Mapping[str, Any]], batch_size: int) -> str:
    """Return a line a run; ``rows`` as ``task=compare`` makes them."""
    titles = (
        "", "model", "accuracy", "95 % interval", "loss", "parameters", "multiply-adds", "s an epoch",
        "s per 1,000",
    )  # fmt: skip
    table = [
        (
            row["run"], row["model"], f"{row['test_accuracy']:.2%}", interval(row), f"{row['test_loss']:.4f}",
            f"{row['parameters']:,}", f"{row['multiply_adds']:,}", f"{row['seconds_per_epoch']:.3g}",
            f"{row['seconds_per_thousand']:.3g}",
        )
        for row in rows
    ]  # fmt: skip
    return "\n".join([
        in_columns([titles, *table], "llrrrrrrr"),
        *(f"{row['run']}: {row['folder']}" for row in rows),
        f"s an epoch: the training pass, median of the epochs, as recorded on {_devices(rows)}; s per 1,000: "
        f"images, forward pass in batches of {batch_size}, measured now on {rows[0]['device']}",
    ])  # fmt: skip


def pairs_table(pairs: Sequence[Mapping[str, Any]], images: int) -> str:
    """Return a line a pair of runs, with what McNemar's test says of it."""
    several = len(pairs) > 1
    p = "p (Holm)" if several else "p"
    rows = [("", "difference", "only the first right", "only the second right", p, "")]
    rows += [
        (
            f"{pair['first']} - {pair['second']}", f"{100 * pair['difference']:+.2f}",
            f"{pair['only_first_right']:,}", f"{pair['only_second_right']:,}", _p(pair["p_value_holm"]),
            "real" if pair["p_value_holm"] < ALPHA else "may be chance",
        )
        for pair in pairs
    ]  # fmt: skip
    return (
        f"{in_columns(rows, 'lrrrrl')}\n"
        f"difference in points; McNemar's exact test on the {images:,} test images, real: p < {ALPHA}"
        + (f", adjusted for {len(pairs)} pairs" if several else "")
        + "\nIt compares these trained networks; another seed gives another network, so compare several seeds too."
    )


def draw_comparison(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy with its 95 % interval, size and cost of each run, a line a run."""
    figure = new_figure(12.0, 1.5 + 0.42 * len(rows), f"{rows[0]['test_images']:,} test images")
    panels = figure.subplots(1, 5, sharey=True, width_ratios=(1.6, 1, 1, 1, 1))
    places = range(len(rows))
    draw_intervals(panels[0], rows, "test_accuracy", capsize=3, markersize=5)
    panels[0].set_yticks(places, [f"{row['run']}  {row['model']}" for row in rows])
    panels[0].set(xlabel="test accuracy, 95 % interval", ylim=(len(rows) - 0.4, -0.6))
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
