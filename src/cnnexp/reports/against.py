"""The generalization gap and the accuracies against what is swept."""

import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from cnnexp.reports.figures import FAINT, TRAIN, VAL, new_figure
from cnnexp.reports.study import Configuration, Judged, Study
from cnnexp.reports.swept import hashable, short_names, shortened, shown_value, sort_key

TEST = "#3a7d44"
SERIES = ("#1f6fb4", "#d1495b", "#3a7d44", "#b5790a", "#7b4fa3", "#20808d")
MOST_SETTINGS = 6
MOST_VALUES = 30
ACCURACIES = (
    ("train_accuracy", "train, clean", TRAIN),
    ("val_accuracy", "validation", VAL),
    ("test_accuracy", "test", TEST),
)

Groups = Mapping[Hashable, Sequence[Judged]]


def draw_against(study: Study) -> Figure | None:
    """Draw the gap, and beside it the accuracies, against each swept setting; None where nothing is swept.

    Error bars are standard deviations over the seeds. In the gap's panels the other settings have a line each,
    where these are at most six; otherwise, and for the accuracies, means over them are drawn without error bars,
    since their spread isn't the seeds'. An axis is logarithmic where positive numbers span a factor of ten.
    """
    names = short_names(study.swept)
    measured = [c for c in study.by_settings if c.mean("generalization_gap") is not None]
    values = {key: setting_values(measured, key) for key in study.swept}
    swept = [key for key in study.swept if 2 <= len(values[key]) <= MOST_VALUES][:MOST_SETTINGS]
    if not swept:
        return None
    figure = new_figure(9.5, 3.2 * len(swept) + 0.3)
    grid = figure.subplots(len(swept), 2, squeeze=False)
    for key, (left, right) in zip(swept, grid, strict=True):
        others = [other for other in study.swept if other != key]
        place = _axis(left, right, values[key], key)
        # between names there is nothing to draw a line through
        unordered = any(isinstance(value, (str, bool)) for value in values[key])
        lines = _lines(measured, others, names)
        if len(lines) > len(SERIES):
            lines = {f"mean over {', '.join(names[other] for other in others)}": measured}
        bars = len(lines) > 1 or not others
        for number, (label, configurations) in enumerate(lines.items()):
            side = _side(number, len(lines)) if unordered else None
            points = _points(_grouped(configurations, key), place, "generalization_gap")
            _draw_line(left, points, label, SERIES[number], bars, side)
        for number, (accuracy, label, colour) in enumerate(ACCURACIES):
            side = _side(number, len(ACCURACIES)) if unordered else None
            points = _points(_grouped(measured, key), place, accuracy)
            _draw_line(right, points, label, colour, not others, side)
        left.axhline(0, color=FAINT, linewidth=0.8)
        left.set_ylabel("generalization gap, points", fontsize=9)
        right.set_ylabel("accuracy, %" + (" (mean over the others)" if others else ""), fontsize=9)
        for axes in (left, right):
            axes.set_xlabel(names[key], fontsize=9)
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=8)
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=7)
    figure.suptitle("At the best epoch; error bars: standard deviation over seeds", fontsize=10)
    return figure


def setting_values(configurations: Sequence[Configuration], key: str) -> list[Any]:
    """Return the values of a swept setting, each once, in order."""
    known = {hashable(c.values[key]): c.values[key] for c in configurations if key in c.values}
    return sorted(known.values(), key=sort_key)


def _axis(left: Any, right: Any, values: Sequence[Any], key: str) -> dict[Hashable, float]:
    """Set the horizontal axes up for a setting; return where each of its values lies."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    if not numbers:
        labels = [tick_label(key, value) for value in values]
        for axes in (left, right):
            axes.set_xticks(range(len(values)), labels, **slanted(labels))
            axes.set_xlim(-0.5, len(values) - 0.5)
        return {hashable(value): float(place) for place, value in enumerate(values)}
    if min(values) > 0 and max(values) >= 10 * min(values):
        for axes in (left, right):
            axes.set_xscale("log")
            axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 8:
        for axes in (left, right):
            axes.set_xticks(values)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    return {hashable(value): float(value) for value in values}


def _lines(
    configurations: Sequence[Configuration], others: Sequence[str], names: Mapping[str, str]
) -> dict[str, list[Configuration]]:
    lines: dict[str, list[Configuration]] = defaultdict(list)
    for configuration in configurations:
        values = {key: configuration.values[key] for key in others if key in configuration.values}
        label = ", ".join(f"{names[key]}={shown_value(key, value)}" for key, value in values.items())
        lines[label].append(configuration)
    return lines


def _grouped(configurations: Sequence[Configuration], key: str) -> dict[Hashable, list[Judged]]:
    groups: dict[Hashable, list[Judged]] = defaultdict(list)
    for configuration in configurations:
        if key in configuration.values:
            groups[hashable(configuration.values[key])] += configuration.counted
    return groups


def _points(groups: Groups, place: Mapping[Hashable, float], number: str) -> list[tuple[float, float, float]]:
    """Return place, mean and standard deviation over runs, in per cent, for each value that has numbers."""
    points = []
    for value, runs in groups.items():
        known = [100 * n for run in runs if (n := run.numbers[number]) is not None]
        if known:
            std = statistics.stdev(known) if len(known) > 1 else 0.0
            points.append((place[value], statistics.fmean(known), std))
    return sorted(points)


def _draw_line(
    axes: Any,
    points: Sequence[tuple[float, float, float]],
    label: str,
    colour: str,
    bars: bool,
    side: float | None,
) -> None:
    """Draw means with their error bars; given a ``side``, as single dots moved by so much, for names."""
    if not points:
        return
    x, mean, std = zip(*points, strict=True)
    axes.errorbar(
        [place + (side or 0.0) for place in x], mean, yerr=std if bars and any(std) else None, marker="o",
        markersize=4, linewidth=1.2, linestyle="-" if side is None else "", capsize=3, color=colour,
        label=plain(shortened(label, 50)) or None,
    )  # fmt: skip


def _side(number: int, count: int) -> float:
    return 0.0 if count == 1 else 0.36 * (number / (count - 1) - 0.5)


def tick_label(key: str, value: Any, longest: int = 22) -> str:
    """Return a setting's value, short enough for an axis."""
    text = f"{value:.3g}" if isinstance(value, float) else shown_value(key, value)
    return plain(shortened(text, longest))


def plain(text: str) -> str:
    """Return a text that matplotlib takes literally, not as mathematics."""
    return text.replace("$", r"\$")


def slanted(labels: Sequence[str]) -> dict[str, Any]:
    """Return how to turn labels that wouldn't fit side by side."""
    return {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if sum(map(len, labels)) > 40 else {}
