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
    """Return what 99.5 % of the absolute values stay within: a colour scale that single ones don't stretch."""
    sizes = values.detach().abs().flatten().cpu().numpy()
    return float(np.quantile(sizes, 0.995)) or float(sizes.max())


def show_image(axes: Axes, image: Tensor) -> None:
    """Show a uint8 image of shape (channels, height, width): grey where it has one channel, else colour."""
    values = image.cpu().numpy()
    if len(values) == 3:
        axes.imshow(values.transpose(1, 2, 0))
    else:
        axes.imshow(values.mean(0), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()


def mosaic(tiles: np.ndarray, columns: int, margin: float = 0.0) -> tuple[np.ndarray, tuple[int, int]]:
    """Return tiles side by side, row after row, with gaps of NaN (which matplotlib leaves white) between.

    Args:
        tiles: float, shape (tiles, height, width) or (tiles, height, width, 3).
        columns: tiles a row.
        margin: left free above each row, as a part of a tile's width.

    Returns:
        The mosaic, and how far apart two tiles begin, down and across.
    """
    count, height, width = tiles.shape[:3]
    # small ones are enlarged by a whole factor, so that the gaps stay thin beside them
    factor = max(1, -(-SMALLEST_TILE // max(height, width)))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    height, width = height * factor, width * factor
    top = round(margin * width)
    down, across = height + GAP + top, width + GAP
    rows = -(-count // columns)
    whole = np.full((rows * down - GAP, columns * across - GAP, *tiles.shape[3:]), np.nan, dtype=float)
    for number, tile in enumerate(tiles):
        row, column = number // columns * down + top, number % columns * across
        whole[row : row + height, column : column + width] = tile
    return whole, (down, across)


def show_mosaic(axes: Axes, tiles: np.ndarray, columns: int, limit: float, labels: Sequence[object] = ()) -> None:
    """Show signed tiles in one colour scale from -limit to limit, each with its label above where there are some.

    Tiles of three colours, (tiles, height, width, 3), are shown in colour: 0 is mid-grey.
    """
    margin = LABEL * columns if len(labels) else 0.0
    whole, (down, across) = mosaic(tiles, columns, margin)
    limit = limit or 1.0
    if whole.ndim == 3:
        axes.imshow(np.nan_to_num(whole / (2 * limit) + 0.5, nan=1.0).clip(0, 1))
    else:
        axes.imshow(whole, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set_axis_off()
    top = round(margin * (across - GAP))
    for number, label in enumerate(labels):
        axes.text(
            number % columns * across + (across - GAP) / 2, number // columns * down + top - 1, str(label),
            fontsize=5, ha="center", va="bottom", color="#555",
        )  # fmt: skip
