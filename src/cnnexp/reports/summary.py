"""What a network is made of: the table of its layers, and its parameters against the size of the image."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cnnexp.inspection.scaling import Growth, order_of_growth
from cnnexp.inspection.summary import LayerSummary
from cnnexp.models.shapes import conv_parameters, show
from cnnexp.reports.figures import label_axes, new_figure
from cnnexp.reports.tables import in_columns, write_csv

COLOURS = ("#1f6fb4", "#d1495b", "#3a8f5c", "#8a5fb4", "#b07a1f")
# kernel sides and numbers of channels in the panel that shows what a convolution's size does depend on
STEPS = (1, 2, 4, 8, 16, 32, 64)


def layer_table(layers: Sequence[LayerSummary]) -> str:
    """Return one line a layer, the totals, and the sizes' formulas."""
    total = sum(layer.parameters for layer in layers)
    computed = sum(layer.computed_parameters or 0 for layer in layers)
    rows = [["layer", "", "input", "output", "parameters", "torch", "share", "multiply-adds", "sees"]]
    for layer in layers:
        counted = layer.formula and f"{layer.formula} = {layer.computed_parameters:,}"
        rows.append([
            layer.name, layer.kind, show(layer.input_shape), show(layer.output_shape), counted or "",
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.parameters / total:.1%}" if layer.parameters else "",
            "" if layer.multiply_adds is None else f"{layer.multiply_adds:,}", show(layer.receptive_field or ()),
        ])  # fmt: skip
    multiply_adds = sum(layer.multiply_adds or 0 for layer in layers)
    rows.append(["total", "", "", "", f"{computed:,}", f"{total:,}", "", f"{multiply_adds:,}", ""])
    sizes = [["layer", "output size, ⌊(H + 2p − d·(k − 1) − 1) / s⌋ + 1 (height, width where they differ)"]]
    sizes += [[layer.name, layer.size_formula] for layer in layers if layer.size_formula]
    text = in_columns(rows, "llllrrrrr")
    note = "multiply-adds: of one image; sees: the pixels of the image, and its padding, behind one output"
    return f"{text}\n{note}" + (f"\n\n{in_columns(sizes, 'll')}" if len(sizes) > 1 else "")


def write_layers(layers: Sequence[LayerSummary], path: Path) -> None:
    """Write one row a layer, with everything that is known of it; what isn't is an empty cell."""
    total = sum(layer.parameters for layer in layers)
    total_adds = sum(layer.multiply_adds or 0 for layer in layers)
    rows = [
        {
            **asdict(layer),
            "input_shape": show(layer.input_shape),
            "output_shape": show(layer.output_shape),
            "receptive_field": show(layer.receptive_field or ()),
            "parameters_share": f"{layer.parameters / total:.7g}" if total else "",
            "multiply_adds_share": f"{(layer.multiply_adds or 0) / total_adds:.7g}" if total_adds else "",
        }
        for layer in layers
    ]
    write_csv(path, rows)


def draw_scaling(growths: Sequence[Growth], channels: int) -> Figure:
    """Draw the networks' parameters against the image's side, and a convolution's against its own settings."""
    figure = new_figure(11.0, 4.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.35, 1])
    for growth, colour in zip(growths, COLOURS * len(growths), strict=False):
        _plot(left, "n", growth.sides, growth.parameters, growth.name, colour)
        if 0 < growth.convolutional[0] < 0.9 * growth.parameters[0]:  # else it would lie on the line itself
            _plot(left, "n", growth.sides, growth.convolutional, f"{growth.name}, convolutions", colour, ":")
    sides = growths[0].sides
    _log_log(left, sides, f"side n of the image in pixels ({channels} channel{'s' * (channels != 1)})")
    left.set_ylabel("parameters")
    left.set_title("networks, by the image's side", fontsize=10)
    by_kernel = [conv_parameters(32, 32, step) for step in STEPS]
    by_channels = [conv_parameters(step, step, 3) for step in STEPS]
    _plot(right, "k", STEPS, by_kernel, "k×k kernel, 32 to 32 channels", COLOURS[3])
    _plot(right, "k", STEPS, by_channels, "3×3 kernel, k to k channels", COLOURS[4])
    _log_log(right, STEPS, "k")
    right.set_title("one convolution, by its own settings", fontsize=10)
    return figure


def scaling_table(growths: Sequence[Growth]) -> str:
    """Return the parameters for each side, and the order of growth."""
    rows = [["parameters, by side", *(f"{side}" for side in growths[0].sides), "growth"]]
    for growth in growths:
        parts = [(growth.name, growth.parameters)]
        if any(growth.convolutional):
            parts += [("  convolutions", growth.convolutional), ("  linear layers", growth.linear)]
        for name, counts in parts:
            law = f"n^{order_of_growth(growth.sides, counts):.2f}"
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


def _plot(
    axes: Axes, variable: str, x: Sequence[int], counts: Sequence[int], name: str, colour: str, style: str = "o-"
) -> None:
    axes.plot(
        x,
        counts,
        style,
        color=colour,
        markersize=4,
        label=f"{name}: ∝ {variable}^{order_of_growth(x, counts):.2f}",
    )


def _log_log(axes: Axes, ticks: Sequence[int], label: str) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    label_axes(axes, label, size=10)
    axes.legend(fontsize=8)
