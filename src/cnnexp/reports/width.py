"""What a sweep over a network's width says of its parameters: error against their number."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from cnnexp.reports.figures import TRAIN, VAL, new_figure
from cnnexp.reports.log_errors import NO_ERROR, draw_errors, floor, log_axes
from cnnexp.reports.study import Configuration, Judged, Study
from cnnexp.reports.swept import is_number, short_names, shown_value


def width_of(study: Study) -> str | None:
    """Return the only swept setting, if it is numeric and its values have different numbers of parameters.

    None where something else is swept too, or with fewer than three values: two points have no shape.
    """
    if len(study.swept) != 1 or len(_widths(study)) < 3:
        return None
    key = study.swept[0]
    counts = {_parameters(c) for c in _widths(study)}
    numeric = all(_is_numeric(c.values.get(key)) for c in study.configurations)
    return key if numeric and len(counts) == len(_widths(study)) else None


def threshold(study: Study) -> float | None:
    """Return n · K, about where as many parameters as that begin to fit all of n images of K classes.

    M. Belkin, D. Hsu, S. Ma and S. Mandal, Reconciling modern machine-learning practice and the classical
    bias-variance trade-off (PNAS 116, 2019), found the peak of the test error there, for networks with one hidden
    layer. None where n or K isn't known or differs between runs, and where it lies outside of the widths.
    """
    facts = {(run.record.images("train"), run.record.result.get("classes")) for run in study.runs if run.completed}
    images, classes = facts.pop() if len(facts) == 1 else (None, None)
    if images is None or not isinstance(classes, int) or isinstance(classes, bool) or classes < 2:
        return None
    counts = [_parameters(c) for c in _widths(study)]
    return images * classes if counts and min(counts) <= images * classes <= max(counts) else None


def by_heart(study: Study) -> Configuration | None:
    """Return the narrowest network whose runs all know their training images by heart.

    None where there is none, and where even the narrowest of all does: from where on it is so isn't seen then.
    """
    knowing = [c for c in _widths(study) if all(run.verdict.memorised for run in c.counted)]
    return knowing[0] if knowing and knowing[0] is not _widths(study)[0] else None


def draw_width(study: Study) -> Figure | None:
    """Draw training and validation error against the number of parameters; None unless a width is swept.

    Errors are means of the last three epochs, as the verdict's. Each run is a point, a line goes through the
    means. Marked are `threshold`, dashed, and `by_heart`, dotted, where they lie among the widths.
    """
    if width_of(study) is None:
        return None
    widths = _widths(study)
    figure = new_figure(7.0, 4.6)
    axes = figure.subplots()
    least = floor([error for c in widths for run in c.counted for error in _errors(run)], study)
    for part, name, colour, marker, line in ((0, "training", TRAIN, "s", "--"), (1, "validation", VAL, "o", "-")):
        points = [(_parameters(c), _errors(run)[part]) for c in widths for run in _known(c)]
        draw_errors(axes, [x for x, _ in points], [y for _, y in points], least, marker, color=colour, alpha=0.7)
        means = [max(statistics.fmean(_errors(run)[part] for run in _known(c)), least) for c in widths]
        axes.plot([_parameters(c) for c in widths], means, line, color=colour, linewidth=1.4)
        axes.plot([], [], f"{marker}{line}", color=colour, markersize=5, label=name)
    if (at := threshold(study)) is not None:
        axes.axvline(
            at, color="black", linewidth=1.2, linestyle="--", label=f"parameters = images × classes, {at:,.0f}"
        )
    if (first := by_heart(study)) is not None:
        axes.axvline(_parameters(first), color="black", linewidth=1.2, linestyle=":", label="first by heart")
    log_axes(axes, "parameters", "error, last three epochs")
    figure.legend(loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    return figure


def width_told(study: Study) -> str:
    """Return what `draw_width` shows, in words; nothing where it shows nothing."""
    if (key := width_of(study)) is None:
        return ""
    several = any(len(c.counted) > 1 for c in study.configurations)
    told = [
        "Training error (squares, dashed) and validation error (dots) against the number of parameters, both axes "
        "logarithmic, means of the last three epochs"
        + (", a point a run, the lines through their means" if several else "")
    ]
    if (at := threshold(study)) is not None:
        told.append(
            f"the dashed upright is at training images × classes, {at:,.0f}, near which Belkin et al. (PNAS 2019) "
            "found that networks with one hidden layer begin to fit all images"
        )
    if (first := by_heart(study)) is not None:
        value = shown_value(key, first.values[key])
        told.append(
            f"the dotted upright is the first width of which {'all runs know' if several else 'the run knows'} "
            f"{100 * study.rule.by_heart:g} % of the training images by heart, {short_names([key])[key]}={value}"
        )
    if not all(error for c in _widths(study) for run in _known(c) for error in _errors(run)):
        told.append(NO_ERROR)
    return f"{'; '.join(told)}."


def _widths(study: Study) -> list[Configuration]:
    """Return the configurations that can be drawn, the fewest parameters first."""
    known = [c for c in study.configurations if _parameters(c) > 0 and _known(c)]
    return sorted(known, key=lambda c: _parameters(c))


def _parameters(configuration: Configuration) -> float:
    return configuration.mean("parameters") or 0.0


def _known(configuration: Configuration) -> Sequence[Judged]:
    return [run for run in configuration.counted if all(map(math.isfinite, _errors(run)))]


def _errors(run: Judged) -> tuple[float, float]:
    """Return the errors that a run ends with, in training and in validation; NaN where they aren't known."""
    learnt, gap = run.verdict.train_accuracy, run.verdict.gap
    if learnt is None or gap is None:
        return math.nan, math.nan
    # what is off by rounding alone is no error
    train, val = 1 - learnt, 1 - learnt + gap
    return (train if train > 1e-9 else 0.0), (val if val > 1e-9 else 0.0)


def _is_numeric(value: Any) -> bool:
    return is_number(value) or (isinstance(value, (list, tuple)) and bool(value) and all(map(is_number, value)))
