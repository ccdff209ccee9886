"""Images in figures: single, in a grid with texts above them, or many small ones as one mosaic."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure
from cnnexp.reports.swept import shortened

LONGEST_NAME = 16  # characters of a class's name that fit above an image
SIGNED = "RdBu_r"  # colours for numbers of either sign: red above 0, white at 0, blue below
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
    """Show tiles side by side, ``columns`` in a row, in one colour scale from -limit to limit, labels above them.

    ``tiles`` are float, shape (tiles, height, width); or (tiles, height, width, 3), in colour: 0 is mid-grey.
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


def draw_gallery(
    images: Tensor, texts: Sequence[str], title: str, columns: int = 6, colours: Sequence[str] | None = None,
    side: float = 1.35, size: float = 7.5,
) -> Figure:  # fmt: skip
    """Draw images (uint8, shape (N, channels, height, width)) in rows of so many, a text above each.

    ``colours`` are the texts', black when None; ``side`` is an image's, in inches, ``size`` the texts', in points.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, ceil(len(images) / columns))
    lines = max((text.count("\n") + 1 for text in texts), default=1)
    figure = new_figure(max(4.0, (side + 0.25) * columns), 0.5 + (side + 0.16 * lines) * rows, title)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image, text, colour in zip(grid, images, texts, colours or ["black"] * len(images), strict=False):
        show_image(axes, image)
        axes.set_axis_on()  # a white image needs a frame on white paper
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        axes.set_title(text, fontsize=size, color=colour, pad=3)
    return figure


def draw_examples(images: Tensor, names: Sequence[str], title: str) -> Figure:
    """Draw one image of each class below its name, as `draw_gallery` does; smaller ones where there are many."""
    short, count = [shortened(name, LONGEST_NAME) for name in names], len(names)
    if count <= 20:
        return draw_gallery(images, short, title, columns=5, size=9)
    return draw_gallery(images, short, title, columns=10 if count <= 200 else 20, side=0.9, size=7)
