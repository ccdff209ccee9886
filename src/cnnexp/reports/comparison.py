"""Runs side by side, as tables and as a figure."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from cnnexp.reports.figures import TRAIN, draw_intervals, new_figure
from cnnexp.reports.statistic import Statistic
from cnnexp.reports.tables import INTERVAL, in_columns

ALPHA = 0.05


def comparison_table(rows: Sequence[Mapping[str, Any]], batch_size: int) -> str:
    """Return a line a run; ``rows`` as ``task=compare`` makes them."""
    columns = {
        "": "{run}", "model": "{model}", "accuracy": "{test_accuracy:.2%}", "95 % interval": INTERVAL,
        "loss": "{test_loss:.4f}", "parameters": "{parameters:,}", "multiply-adds": "{multiply_adds:,}",
        "s an epoch": "{seconds_per_epoch:.3g}", "s per 1,000": "{seconds_per_thousand:.3g}",
    }  # fmt: skip
    cells = [[text.format_map(row) for text in columns.values()] for row in rows]
    devices = " and ".join(sorted({row["trained_on"] or "an unknown device" for row in rows}))
    return "\n".join([
        in_columns([list(columns), *cells], "llrrrrrrr"),
        *(f"{row['run']}: {row['folder']}" for row in rows),
        f"s an epoch: the training pass, median of the epochs, as recorded on {devices}; s per 1,000: "
        f"images, forward pass in batches of {batch_size}, measured now on {rows[0]['device']}",
    ])  # fmt: skip


def pairs_table(pairs: Sequence[Mapping[str, Any]], images: int) -> str:
    """Return a line a pair of runs, with what McNemar's test says of it."""
    several = len(pairs) > 1
    titles = (
        "",
        "difference",
        "only the first right",
        "only the second right",
        "p (Holm)" if several else "p",
        "",
    )
    rows = [
        (
            f"{pair['first']} - {pair['second']}", f"{100 * pair['difference']:+.2f}",
            f"{pair['only_first_right']:,}", f"{pair['only_second_right']:,}", _p(pair["p_value_holm"]),
            "real" if pair["p_value_holm"] < ALPHA else "may be chance",
        )
        for pair in pairs
    ]  # fmt: skip
    return (
        f"{in_columns([titles, *rows], 'lrrrrl')}\n"
        f"difference in points; McNemar's exact test on the {images:,} test images, real: p < {ALPHA}"
        + (f", adjusted for {len(pairs)} pairs" if several else "")
        + "\nIt compares these trained networks; another seed gives another network, so compare several seeds too."
    )


def configurations_table(configurations: Mapping[str, Statistic], differences: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a configuration with its accuracy over the seeds, and a line a pair of configurations.

    Args:
        configurations: the test accuracy of each, by name.
        differences: the pairs, as ``task=compare`` makes them.
    """
    lines = [["configuration", "seeds", "test accuracy %"]]
    lines += [[name, f"{one.count}", one.shown(percent=True, digits=2)] for name, one in configurations.items()]
    several = len(differences) > 1
    rows = [["", "difference", "seeds", "p (Holm)" if several else "p", ""]]
    for pair in differences:
        much = "–" if pair["difference"] is None else f"{100 * pair['difference']:+.2f}"
        much += "" if pair["half_width"] is None else f" ± {100 * pair['half_width']:.2f}"
        known = pair["p_value_holm"] is not None
        answer = "fewer than two seeds in common"
        if known:
            answer = "real" if pair["p_value_holm"] < ALPHA else "may be chance"
        if pair["more_seeds"] is not None:
            answer += f"; {pair['more_seeds']} more seeds would decide"
        rows.append([
            f"{pair['first']} - {pair['second']}", much, f"{pair['seeds']}",
            _p(pair["p_value_holm"]) if known else "–", answer,
        ])  # fmt: skip
    return (
        f"{in_columns(lines, 'lrr')}\n\n{in_columns(rows, 'lrrrl')}\n"
        f"difference in points, with half of its 95 % t-interval; paired by seed, real: p < {ALPHA}"
        + (f", adjusted for {len(differences)} pairs" if several else "")
        + "\nmore seeds: with a probability of 80 %, if the difference and its spread are as they look"
    )


def draw_comparison(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw accuracy with its 95 % interval, size and cost of each run, a line a run."""
    figure = new_figure(12.0, 1.5 + 0.42 * len(rows), f"{rows[0]['test_images']:,} test images")
    panels = figure.subplots(1, 5, sharey=True, width_ratios=(1.6, 1, 1, 1, 1))
    places = range(len(rows))
    draw_intervals(panels[0], rows, "test_accuracy", capsize=3, markersize=5)
    panels[0].set_yticks(places, [f"{row['run']}  {row['model']}" for row in rows])
    panels[0].set(xlabel="test accuracy, 95 % interval", ylim=(len(rows) - 0.4, -0.6))
    for axes, key, label, is_count in (
        (panels[1], "parameters", "parameters", True),
        (panels[2], "multiply_adds", "multiply-adds an image", True),
        (panels[3], "seconds_per_epoch", "seconds an epoch", False),
        (panels[4], "seconds_per_thousand", "seconds per 1,000 images", False),
    ):
        bars = axes.barh(places, [row[key] for row in rows], 0.6, color=TRAIN, alpha=0.5)
        axes.bar_label(bars, fmt=EngFormatter(places=2, sep=" ") if is_count else "{:.3g}", padding=3, fontsize=8)
        axes.margins(x=0.35)
        axes.set_xlabel(label)
        if is_count:
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    for axes in panels:
        axes.grid(axis="x", alpha=0.25)
        axes.xaxis.set_major_locator(MaxNLocator(3))
    return figure


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"
