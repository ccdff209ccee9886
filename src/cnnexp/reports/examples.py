"""One image of each class."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure
from cnnexp.reports.mosaic import show_image

LONGEST_NAME = 16  # characters of a class's name that fit above an image


def draw_examples(images: Tensor, names: Sequence[str], title: str) -> Figure:
    """Draw a grid of named images.

    Args:
        images: uint8, shape (classes, channels, height, width).
        names: of the classes.
        title: above everything.
    """
    count = len(names)
    columns = min(count, 5 if count <= 20 else 10 if count <= 200 else 20)
    rows = -(-count // columns)
    side = 1.5 if count <= 20 else 1.0
    figure = new_figure(columns * side, rows * (side + 0.2) + 0.4)
    figure.suptitle(title, fontsize=10)
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        if number < count:
            show_image(axes, images[number])
            name = names[number]
            short = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
            axes.set_title(short, fontsize=9 if count <= 20 else 7, pad=3)
        axes.set_axis_off()
    return figure
