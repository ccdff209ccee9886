"""Images in a grid, each with a line or two above it."""

from collections.abc import Sequence
from math import ceil

from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure
from cnnexp.reports.mosaic import show_image
from cnnexp.reports.swept import shortened

LONGEST_NAME = 16  # characters of a class's name that fit above an image


def draw_gallery(
    images: Tensor, texts: Sequence[str], title: str, columns: int = 6, colours: Sequence[str] | None = None,
    side: float = 1.35, size: float = 7.5,
) -> Figure:  # fmt: skip
    """Draw images in rows, as the network was given them but for their preparation.

    Args:
        images: uint8, shape (N, channels, height, width).
        texts: what to write above each.
        title: of the figure.
        columns: images in a row, at most.
        colours: of each text; black when None.
        side: of an image, in inches.
        size: of the texts, in points.
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
