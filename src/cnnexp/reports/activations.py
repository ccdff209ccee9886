"""A figure of the outputs of a network's layers, beside those of the same network before training."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from cnnexp.models.shapes import show
from cnnexp.reports.figures import new_figure
from cnnexp.reports.gallery import LABEL, limit_of, show_image, show_mosaic

BLOCK, SIDE, HEAD = 5.0, 1.6, 0.24  # inches: a network's mosaic, the image's column, a row's title
SHORTEST = 3.0  # inches, for the image and the caption below it
FEWEST, FEW, WIDE = 4, 8, 16  # channels a row
ABOVE, BELOW = "#b2182b", "#2166ac"


def draw_activations(
    image: Tensor,
    networks: Mapping[str, Mapping[str, Tensor]],
    channels: Mapping[str, Sequence[int]],
    title: str,
    caption: str = "",
) -> Figure:
    """Draw layers below each other, networks side by side, and the image to their left with its caption.

    The colours of a row and network run from minus to plus the value that 99.5 % of the layer's outputs stay
    within; it stands in the row's title. Channels carry their numbers. A layer of single units is drawn as bars.

    ``image`` is uint8, shape (channels, height, width); ``networks`` has by name and layer each network's outputs,
    shape (channels, height, width) or (features,); ``channels`` says which to show of each layer.
    """
    first = next(iter(networks.values()))
    heights = [_height(output, len(channels[layer])) for layer, output in first.items()]
    size = (SIDE + BLOCK * len(networks), max(SHORTEST, sum(heights) + 0.4))
    figure = new_figure(*size, f"{title}; red above 0, blue below")
    side, main = figure.subfigures(1, 2, squeeze=False, width_ratios=[SIDE, BLOCK * len(networks)])[0]
    _draw_side(side, image, caption, figure.get_figheight())
    grid = main.subplots(len(first), len(networks), squeeze=False, height_ratios=heights)
    for row, layer in zip(grid, first, strict=True):
        for axes, (name, activations) in zip(row, networks.items(), strict=True):
            _draw_layer(axes, activations[layer], channels[layer], f"{name} · {layer}")
    return figure


def _columns(count: int) -> int:
    return max(count, FEWEST) if count <= FEW else WIDE


def _height(output: Tensor, shown: int) -> float:
    if output.dim() == 1:
        return HEAD + 0.9
    rows = -(-shown // _columns(shown))
    tile = BLOCK / _columns(shown)
    return HEAD + rows * (tile * output.shape[1] / output.shape[2] + LABEL * BLOCK)


def _draw_side(figure: SubFigure, image: Tensor, caption: str, height: float) -> None:
    # not in the grid, whose axes would be stretched over all rows
    axes = figure.add_axes((0.06, 1 - 1.7 / height, 0.88, 1.3 / height))
    show_image(axes, image)
    axes.set_anchor("N")
    figure.text(0.06, 1 - 1.78 / height, caption, fontsize=7.5, va="top")


def _draw_layer(axes: Axes, output: Tensor, channels: Sequence[int], title: str) -> None:
    limit = limit_of(output)
    if output.dim() == 1:
        # with edges, so that the first and the last unit are drawn whole
        values, edges = output[list(channels)].cpu().numpy(), np.arange(len(channels) + 1) - 0.5
        for part, colour in ((values.clip(min=0), ABOVE), (values.clip(max=0), BELOW)):
            axes.stairs(part, edges, fill=True, color=colour)
        axes.axhline(0, color="#555", linewidth=0.6)
        axes.set_xlim(edges[0], edges[-1])
        axes.tick_params(labelsize=6, length=2)
    else:
        labels = channels if len(channels) <= 4 * WIDE else ()
        show_mosaic(axes, output[list(channels)].cpu().numpy(), _columns(len(channels)), limit, labels)
    axes.set_title(f"{title} · {show(tuple(output.shape))} · ±{limit:.2g}", fontsize=7, loc="left", pad=3)
