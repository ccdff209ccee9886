"""Many small images as one, and single images as matplotlib takes them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

SIGNED = "RdBu_r"
"""Colours for numbers of either sign: red above 0, white at 0, blue below."""
SMALLEST_TILE, GAP = 32, 3  # pixels of the mosaic
LABEL = 0.02  # height of a label, as a part of the mosaic's width


def limit_of(values: Tensor) -> float:
    """Return what 99.5 % of the absolute values stay within: a colour scale that a few outliers don't stretch."""
    sizes = values.detach().abs().flatten().cpu().numpy()
    return float(np.quantile(sizes, 0.995)) or float(sizes.max())


def show_image(axes: Axes, image: Tensor) -> None:
    """Show a uint8 image of shape (channels, height, width): in colour where it has three channels, else grey."""
    values = image.cpu().numpy()
    if len(values) == 3:
        axes.imshow(values.transpose(1, 2, 0))
    else:
        axes.imshow(values.mean(0), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()


def show_mosaic(axes: Axes, tiles: np.ndarray, columns: int, limit: float, labels: Sequence[object] = ()) -> None:
    """Show tiles side by side, row after row, in one colour scale.

    Args:
        axes: where.
        tiles: float, shape (tiles, height, width); or (tiles, height, width, 3), shown in colour: 0 is mid-grey.
        columns: tiles a row.
        limit: the scale goes from -limit to limit.
        labels: to write above each tile; none for no labels.
    """
    limit = limit or 1.0
    # small tiles are enlarged by a whole factor, so that the gaps stay thin beside them
    factor = max(1, -(-SMALLEST_TILE // max(tiles.shape[1:3])))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    count, height, width = tiles.shape[:3]
    top = round(LABEL * columns * width) if len(labels) else 0
    down, across = height + GAP + top, width + GAP
    rows = -(-count // columns)
    # matplotlib leaves NaN white
    whole = np.full((rows * down - GAP, columns * across - GAP, *tiles.shape[3:]), np.nan)
    for number, tile in enumerate(tiles):
        y, x = number // columns * down + top, number % columns * across
        whole[y : y + height, x : x + width] = tile
        if len(labels):
            style = {"fontsize": 5, "ha": "center", "va": "bottom", "color": "#555"}
            axes.text(x + width / 2, y - 1, str(labels[number]), style)
    if whole.ndim == 3:
        axes.imshow(np.nan_to_num(whole / (2 * limit) + 0.5, nan=1.0).clip(0, 1))
    else:
        axes.imshow(whole, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
