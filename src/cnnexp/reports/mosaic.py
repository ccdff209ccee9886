"""Many small pictures as one, and single pictures as matplotlib takes them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

SIGNED = "RdBu_r"
"""Colours for numbers of either sign: red above 0, white at 0, blue below."""
SMALLEST_TILE, GAP = 32, 3  # pixels of the mosaic


def new_figure(width: float, height: float) -> Figure:
    """Return a figure, in inches, of no window and no pyplot state: nothing is left open."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def show_picture(axes: Axes, picture: Tensor) -> None:
    """Show a uint8 picture of shape (channels, height, width): grey where it has one channel, else colour."""
    values = picture.cpu().numpy()
    if len(values) == 3:
        axes.imshow(values.transpose(1, 2, 0))
    else:
        axes.imshow(values.mean(0), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()


def mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Return tiles side by side, row after row, with gaps of NaN (which matplotlib leaves white) between.

    Args:
        tiles: float, shape (tiles, height, width) or (tiles, height, width, 3).
        columns: tiles a row.
    """
    count, height, width = tiles.shape[:3]
    # small ones are enlarged by a whole factor, so that the gaps stay thin beside them
    factor = max(1, -(-SMALLEST_TILE // max(height, width)))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = height * factor, width * factor
    columns = min(columns, count)
    rows = -(-count // columns)
    whole = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, *tiles.shape[3:]), np.nan, dtype=float
    )
    for number, tile in enumerate(tiles):
        top, left = number // columns * (height + GAP), number % columns * (width + GAP)
        whole[top : top + height, left : left + width] = tile
    return whole


def show_mosaic(axes: Axes, tiles: np.ndarray, columns: int, limit: float, labels: Sequence[object] = ()) -> None:
    """Show signed tiles in one colour scale from -limit to limit, each with its label above where there are some.

    Tiles of three colours, (tiles, height, width, 3), are shown in colour: 0 is mid-grey.
    """
    whole = mosaic(tiles, columns)
    limit = limit or 1.0
    if whole.ndim == 3:
        axes.imshow(np.nan_to_num(whole / (2 * limit) + 0.5, nan=1.0).clip(0, 1))
    else:
        axes.imshow(whole, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    columns = min(columns, len(tiles))
    step = (whole.shape[1] + GAP) / columns
    down = (whole.shape[0] + GAP) / -(-len(tiles) // columns)
    for number, label in enumerate(labels):
        axes.text(
            (number % columns + 0.5) * step - GAP / 2, number // columns * down - GAP / 2 - 0.5, str(label),
            fontsize=5, ha="center", va="bottom", color="#555",
        )  # fmt: skip
