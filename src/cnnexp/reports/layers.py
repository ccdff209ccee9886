"""The table of a network's layers: for the terminal and as a CSV file."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from cnnexp.inspection.summary import LayerSummary
from cnnexp.models.shapes import show
from cnnexp.reports.tables import in_columns, thousands, write_csv


def layer_table(layers: Sequence[LayerSummary]) -> str:
    """Return one line a layer, the totals, and the sizes' formulas."""
    total = sum(layer.parameters for layer in layers)
    computed = sum(layer.computed_parameters or 0 for layer in layers)
    rows = [["layer", "", "input", "output", "parameters", "torch", "share", "multiply-adds", "sees"]]
    for layer in layers:
        counted = layer.formula and f"{layer.formula} = {layer.computed_parameters:,}"
        rows.append([
            layer.name, layer.kind, show(layer.input_shape), show(layer.output_shape), counted or "",
            thousands(layer.parameters or None),
            f"{layer.parameters / total:.1%}" if layer.parameters else "",
            thousands(layer.multiply_adds), show(layer.receptive_field or ()),
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
