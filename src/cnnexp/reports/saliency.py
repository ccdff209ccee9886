"""A figure of what a decision rests on: saliency maps beside the image."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from cnnexp.reports.figures import new_figure
from cnnexp.reports.gallery import SIGNED, show_image


@dataclass(frozen=True)
class Saliency:
    """The maps for one class: ``title`` says which, and its probability."""

    title: str
    attribution: Tensor  # gradient × input, shape (height, width)
    heat: Tensor | None  # Grad-CAM at the image's size; None for a network without convolutions


def draw_saliency(image: Tensor, classes: Sequence[Saliency], title: str, heat_title: str) -> Figure:
    """Draw a row for each class: the image, gradient × input, and Grad-CAM over the image.

    ``image`` is uint8, shape (channels, height, width).
    """
    columns = 3 if classes[0].heat is not None else 2
    figure = new_figure(3.0 * columns + 0.4, 2.75 * len(classes) + 0.6, title)
    for row, saliency in zip(figure.subplots(len(classes), columns, squeeze=False), classes, strict=True):
        show_image(row[0], image)
        row[0].set_title(saliency.title, fontsize=9)
        limit = float(saliency.attribution.abs().max()) or 1.0
        drawn = row[1].imshow(saliency.attribution.numpy(), cmap=SIGNED, vmin=-limit, vmax=limit)
        _with_scale(row[1], drawn, "gradient × input: for, against", figure)
        if saliency.heat is not None:
            show_image(row[2], image.float().mean(0, keepdim=True))
            most = float(saliency.heat.max()) or 1.0
            drawn = row[2].imshow(saliency.heat.numpy(), cmap="inferno", alpha=0.6, vmin=0, vmax=most)
            _with_scale(row[2], drawn, heat_title, figure)
    return figure


def _with_scale(axes: Axes, drawn: object, title: str, figure: Figure) -> None:
    axes.set_axis_off()
    axes.set_title(title, fontsize=9)
    figure.colorbar(drawn, ax=axes, fraction=0.046).ax.tick_params(labelsize=7)  # type: ignore[arg-type]
