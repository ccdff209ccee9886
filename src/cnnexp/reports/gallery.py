"""Images in a grid, each with a line or two above it."""

from collections.abc import Sequence
from math import ceil

from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure


def draw_gallery(
    images: Tensor, texts: Sequence[str], title: str, columns: int = 6, colours: Sequence[str] | None = None
) -> Figure:
    """Draw images in rows, as the network was given them but for their preparation.

    Args:
        images: uint8, shape (N, channels, height, width), with 1 or 3 channels.
        texts: what to write above each.
        title: of the figure.
        columns: images in a row, at most.
        colours: of each text; black when None.
    """
    columns = max(1, min(columns, len(images)))
    rows = max(1, ceil(len(images) / columns))
    lines = max((text.count("\n") + 1 for text in texts), default=1)
    figure = new_figure(max(4.0, 1.6 * columns), 0.5 + (1.35 + 0.16 * lines) * rows)
    figure.suptitle(title, fontsize=11)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(images) :]:
        axes.axis("off")
    for number, (axes, image, text) in enumerate(zip(grid, images, texts, strict=False)):
        shown = image.permute(1, 2, 0).numpy()
        grey = shown.shape[2] == 1
        axes.imshow(shown[..., 0] if grey else shown, cmap="gray" if grey else None, vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color("#cccccc")
        axes.set_title(text, fontsize=7.5, color=colours[number] if colours else "black")
    return figure
