"""What a sweep over the number of training images says of more of them."""

import numpy as np
from matplotlib.figure import Figure

from cnnexp.evaluation.trends import PowerLaw, power_law
from cnnexp.reports.figures import FAINT, VAL, new_figure
from cnnexp.reports.log_errors import NO_ERROR, draw_errors, floor, log_axes
from cnnexp.reports.study import Study
from cnnexp.reports.swept import is_number

SIZE = "data.train_size"


def learning_curve(study: Study) -> str | None:
    """Return how the validation error falls with the number of images, and what twice as many would give.

    None unless nothing else is swept, over three sizes or more with several seeds, and the 95 % interval of the
    exponent leaves out zero.
    """
    if (found := _found(study)) is None:
        return None
    law, points = found
    twice = 2 * law.largest
    error, low, high = law.predict(twice)
    return (
        f"Validation error falls with the number of training images as n^−{law.exponent:.2f} (95 % interval "
        f"{law.low:.2f} to {law.high:.2f}, {law.points} sizes, {len(points)} runs); on twice the most, "
        f"{twice:,.0f}, a run would have {error:.2%} ({low:.2%} to {high:.2%}), unless an error that more images "
        "don't lower is near."
    )


def draw_learning_curve(study: Study) -> Figure | None:
    """Draw what `learning_curve` says; None where it says nothing.

    Each run is a point. The line is the law, dashed beyond the largest size; the band is the 95 % interval for a
    further run, and the hollow mark at twice the largest size the prediction with the same interval.
    """
    if (found := _found(study)) is None:
        return None
    law, points = found
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots()
    sizes, errors = zip(*points, strict=True)
    twice = 2 * law.largest
    x = np.geomspace(min(sizes), twice, 100)
    middle, low, high = np.array([law.predict(size) for size in x]).T
    axes.fill_between(x, low, high, color=FAINT, alpha=0.25, linewidth=0, label="95 % interval of a further run")
    measured = x <= law.largest * (1 + 1e-9)
    axes.plot(x[measured], middle[measured], color="black", linewidth=1.4, label=f"n^−{law.exponent:.2f}")
    axes.plot(x[~measured], middle[~measured], color="black", linewidth=1.4, linestyle="--")
    draw_errors(axes, sizes, errors, floor(errors, study), "o", color=VAL, alpha=0.8)
    axes.plot([], [], "o", color=VAL, markersize=5, label="a run")
    error, least, most = law.predict(twice)
    axes.errorbar(
        [twice], [error], yerr=[[error - least], [most - error]], fmt="D", color="black", markersize=8,
        markerfacecolor="white", capsize=4, label=f"predicted for {twice:,.0f}",
    )  # fmt: skip
    log_axes(axes, "training images", "validation error")
    axes.legend(fontsize=10)
    return figure


def learning_curve_told(study: Study) -> str:
    """Return what `draw_learning_curve` shows, in words; nothing where it shows nothing."""
    if (found := _found(study)) is None:
        return ""
    _, points = found
    told = (
        "Validation error against the number of training images, both axes logarithmic: a point a run; the line "
        "is the fitted law, the band the 95 % interval in which a further run would lie; the hollow mark is the "
        "prediction for twice the most images, with the same interval"
    )
    return f"{told}{'' if all(error for _, error in points) else f'; {NO_ERROR}'}."


def _found(study: Study) -> tuple[PowerLaw, list[tuple[float, float]]] | None:
    """Return the law and the runs' sizes and errors, where there is something to say of them."""
    if list(study.swept) != [SIZE]:
        return None
    points = [
        (float(images), 1 - accuracy)
        for configuration in study.configurations
        for run in configuration.counted
        if is_number(images := run.record.result.get("train_images"))
        and (accuracy := run.numbers["val_accuracy"]) is not None
    ]
    law = power_law([size for size, _ in points], [error for _, error in points])
    # of a run a size nobody knows how much runs scatter
    if law is None or not law.low > 0 or len(points) == law.points:  # of a flat line the interval may be NaN
        return None
    return law, points
