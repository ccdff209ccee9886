"""Errors on two logarithmic axes: the runs as points, and where a run without any error is drawn."""

from collections.abc import Sequence
from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from cnnexp.reports.study import Study

NO_ERROR = "triangles at the lower edge are runs without any error"


def floor(errors: Sequence[float], study: Study) -> float:
    """Return where a run without any error is drawn: at half of what a single wrong image makes.

    At half of the smallest error that was measured where the numbers of images aren't known.
    """
    images = [count for run in study.runs for part in ("train_eval", "val") if (count := run.record.images(part))]
    return min([0.5 / max(images)] if images else [], default=0.5 * min(filter(None, errors), default=0.01))


def draw_errors(
    axes: Any, x: Sequence[float], errors: Sequence[float], at: float, marker: str, **style: Any
) -> None:
    """Draw errors, fractions, as points at x; those of 0 as triangles at the height ``at``."""
    for zero, sign in ((False, marker), (True, "v")):
        points = [
            (place, at if zero else error) for place, error in zip(x, errors, strict=True) if (not error) == zero
        ]
        if points:
            axes.plot(*zip(*points, strict=True), sign, linestyle="", markersize=5, **style)


def log_axes(axes: Any, x: str, y: str) -> None:
    """Make both axes of a panel logarithmic and name them: numbers along x, per cent along y."""
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel(x, fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.tick_params(labelsize=11)
    few = axes.get_ylim()[1] < 300 * axes.get_ylim()[0]
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    few = axes.get_xlim()[1] < 100 * axes.get_xlim()[0]
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
