"""matplotlib figures without windows: made, and turned into PNG files' bytes."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cnnexp.reports.swept import shortened

TRAIN, VAL, FAINT = "#1f6fb4", "#d1495b", "#8a8f98"


def new_figure(
    width: float, height: float, title: str = "", layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Return a figure, in inches, of no window and no pyplot state: nothing is left open."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=10.5)
    return figure


def plain(text: str, longest: int | None = None) -> str:
    """Return a text, cut to so many characters, that matplotlib takes literally, not as mathematics."""
    return (text if longest is None else shortened(text, longest)).replace("$", r"\$")


def label_axes(axes: Axes, x: str, y: str = "", size: float = 9.0) -> None:
    """Name a panel's axes and draw a faint grid behind it."""
    axes.set_xlabel(x, fontsize=size)
    axes.set_ylabel(y, fontsize=size)
    axes.tick_params(labelsize=size - 1)
    axes.grid(alpha=0.25)


def draw_intervals(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    """Draw accuracies (``key``) as dots below each other, each with its interval from ``low`` to ``high``."""
    accuracy, low, high = (np.array([row[name] for row in rows]) for name in (key, "low", "high"))
    # at 0 and at 1 rounding can put the interval's end a hair inside of the accuracy
    spread = np.clip(np.stack([accuracy - low, high - accuracy]), 0, None)
    axes.errorbar(accuracy, range(len(rows)), xerr=spread, fmt="o", color=TRAIN, ecolor=FAINT, **style)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x", alpha=0.25)


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as a PNG file's bytes, to be written and shown wherever it is wanted."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
