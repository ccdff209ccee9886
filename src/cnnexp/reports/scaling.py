"""Parameters against the size of the image, as a figure with the order of growth, and as a table."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cnnexp.inspection.scaling import Growth, order_of_growth
from cnnexp.models.shapes import conv_parameters
from cnnexp.reports.figures import label_axes, new_figure
from cnnexp.reports.tables import in_columns, write_csv

COLOURS = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8a5fb4", "#b07a1f")
STEPS = (1, 2, 4, 8, 16, 32, 64)
"""Kernel sides and numbers of channels in the panel that shows what a convolution's size does depend on."""


def draw_scaling(growths: Sequence[Growth], channels: int) -> Figure:
    """Draw the networks' parameters against the image's side, and a convolution's against its own settings."""
    figure = new_figure(11.0, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    for growth, colour in zip(growths, COLOURS * len(growths), strict=False):
        order = order_of_growth(growth.sides, growth.parameters)
        left.plot(growth.sides, growth.parameters, "o-", color=colour, markersize=4,
                  label=f"{growth.name}: {_law('n', order)}")  # fmt: skip
        if 0 < growth.convolutional[0] < 0.9 * growth.parameters[0]:  # else it would lie on the line itself
            part = order_of_growth(growth.sides, growth.convolutional)
            left.plot(growth.sides, growth.convolutional, ":", color=colour,
                      label=f"{growth.name}, convolutions: {_law('n', part)}")  # fmt: skip
    sides = growths[0].sides
    _log_log(left, sides, f"side n of the image in pixels ({channels} channel{'s' * (channels != 1)})")
    left.set_ylabel("parameters")
    left.set_title("networks, by the image's side", fontsize=10)
    for label, counts, colour in (
        ("k×k kernel, 32 to 32 channels", [conv_parameters(32, 32, step) for step in STEPS], COLOURS[3]),
        ("3×3 kernel, k to k channels", [conv_parameters(step, step, 3) for step in STEPS], COLOURS[4]),
    ):
        law = _law("k", order_of_growth(STEPS, counts))
        right.plot(STEPS, counts, "o-", color=colour, markersize=4, label=f"{label}: {law}")
    _log_log(right, STEPS, "k")
    right.set_title("one convolution, by its own settings", fontsize=10)
    for axes in (left, right):
        axes.legend(fontsize=8)
    return figure


def scaling_table(growths: Sequence[Growth]) -> str:
    """Return the parameters for each side, and the order of growth."""
    rows = [["parameters, by side", *(f"{side}" for side in growths[0].sides), "growth"]]
    for growth in growths:
        parts = [(growth.name, growth.parameters)]
        if any(growth.convolutional):
            parts += [("  convolutions", growth.convolutional), ("  linear layers", growth.linear)]
        for name, counts in parts:
            law = _law("n", order_of_growth(growth.sides, counts), plain=True)
            rows.append([name, *(f"{count:,}" for count in counts), law])
    return in_columns(rows, f"l{'r' * len(growths[0].sides)}l")


def write_scaling(growths: Sequence[Growth], path: Path) -> None:
    """Write one row a network and side."""
    columns = ("model", "side", "parameters", "convolutional", "linear", "order_of_growth")
    rows = []
    for growth in growths:
        order = f"{order_of_growth(growth.sides, growth.parameters):.4f}"
        for counts in zip(growth.sides, growth.parameters, growth.convolutional, growth.linear, strict=True):
            rows.append(dict(zip(columns, (growth.name, *counts, order), strict=True)))
    write_csv(path, rows)


def _law(variable: str, order: float, plain: bool = False) -> str:
    return f"{variable}^{order:.2f}" if plain else f"∝ ${variable}^{{{order:.2f}}}$"


def _log_log(axes: Axes, ticks: Sequence[int], label: str) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    label_axes(axes, label, size=10)
