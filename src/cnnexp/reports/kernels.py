"""The first layer's kernels before and after training, and what training has added."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure
from cnnexp.reports.gallery import LABEL, limit_of, show_mosaic


def draw_kernels(before: Tensor, after: Tensor, chosen: Sequence[int], title: str) -> Figure:
    """Draw the chosen kernels, shape (kernels, channels, height, width), and what training has added to them.

    The scale stands above: the value that 99.5 % of the weights stay within (those after training, for what was
    added). Kernels of one channel are red above 0 and blue below; those of three are in colour, with 0 as
    mid-grey; of those of any other number each channel is drawn by itself.
    """
    height, width = after.shape[2:]
    before, after = before[list(chosen)], after[list(chosen)]
    parts = {
        "before training": (before, limit_of(before)),
        "after training": (after, limit_of(after)),
        "what training added": (after - before, limit_of(after)),
    }
    count = len(_tiles(after))
    columns = min(8 if count <= 64 else 16, count)
    labels = chosen if count == len(chosen) <= 64 else ()
    rows = -(-count // columns)
    tall = rows / columns * height / width + rows * LABEL * bool(labels)
    figure = new_figure(12.0, 4.0 * tall + 0.8, title)
    for axes, (name, (kernels, limit)) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        show_mosaic(axes, _tiles(kernels), columns, limit, labels)
        axes.set_title(f"{name}, ±{limit:.2g}", fontsize=9)
    return figure


def _tiles(kernels: Tensor) -> np.ndarray:
    """Return (tiles, height, width), or (tiles, height, width, 3) for kernels of three channels."""
    values = kernels.cpu().numpy()
    return values.transpose(0, 2, 3, 1) if values.shape[1] == 3 else values.reshape(-1, *values.shape[2:])
