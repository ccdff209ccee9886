"""The generalization gap and the accuracies against what is swept."""

import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.reports.study import Configuration, Study
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
    title = "At the best epoch; error bars: standard deviation over seeds"
    figure = new_figure(9.5, 3.2 * len(swept) + 0.3, title)
    grid = figure.subplots(len(swept), 2, squeeze=False)
    for key, (left, right) in zip(swept, grid, strict=True):
        others = [other for other in study.swept if other != key]
        place = {hashable(value): number for number, value in enumerate(values[key])}
        if _are_numbers(values[key]):
            place = {hashable(value): value for value in values[key]}
        # no line is drawn between names
        unordered = any(isinstance(value, (str, bool)) for value in values[key])
        lines = _lines(measured, others, names)
        if len(lines) > len(SERIES):
            lines = {f"mean over {', '.join(names[other] for other in others)}": measured}
        gaps = [
            ("generalization_gap", label, colour, configurations)
            for colour, (label, configurations) in zip(SERIES, lines.items(), strict=False)
        ]
        accuracies = [(*series, measured) for series in ACCURACIES]
        for axes, panel, bars in ((left, gaps, len(lines) > 1 or not others), (right, accuracies, not others)):
            _scale(axes, values[key], key)
            for number, (what, label, colour, configurations) in enumerate(panel):
                side = _side(number, len(panel)) if unordered else None
                points = _points(configurations, key, place, what)
                _draw_line(axes, points, label, colour, bars, side)
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=7)
        left.axhline(0, color=FAINT, linewidth=0.8)
        label_axes(left, names[key], "generalization gap, points")
        label_axes(right, names[key], "accuracy, %" + (" (mean over the others)" if others else ""))
    return figure


def setting_values(configurations: Sequence[Configuration], key: str) -> list[Any]:
    """Return the values of a swept setting, each once, in order."""
    known = {hashable(c.values[key]): c.values[key] for c in configurations if key in c.values}
    return sorted(known.values(), key=sort_key)


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _scale(axes: Any, values: Sequence[Any], key: str) -> None:
    """Set a horizontal axis up for a setting's values."""
    if not _are_numbers(values):
        labels = [tick_label(key, value) for value in values]
        axes.set_xticks(range(len(values)), labels, **slanted(labels))
        axes.set_xlim(-0.5, len(values) - 0.5)
        return
    if min(values) > 0 and max(values) >= 10 * min(values):
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(values) <= 8:
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter("{x:g}")


def _lines(
    configurations: Sequence[Configuration], others: Sequence[str], names: Mapping[str, str]
) -> dict[str, list[Configuration]]:
    lines: dict[str, list[Configuration]] = defaultdict(list)
    for configuration in configurations:
        values = {key: configuration.values[key] for key in others if key in configuration.values}
        label = ", ".join(f"{names[key]}={shown_value(key, value)}" for key, value in values.items())
        lines[label].append(configuration)
    return lines


def _points(
    configurations: Sequence[Configuration], key: str, place: Mapping[Hashable, float], number: str
) -> list[tuple[float, float, float]]:
    """Return place, mean and standard deviation over runs, in per cent, for each value that has numbers."""
    groups: dict[float, list[float]] = defaultdict(list)
    for configuration in configurations:
        if key in configuration.values:
            known = [100 * n for run in configuration.counted if (n := run.numbers[number]) is not None]
            groups[place[hashable(configuration.values[key])]] += known
    return sorted(
        (at, statistics.fmean(known), statistics.stdev(known) if len(known) > 1 else 0.0)
        for at, known in groups.items()
        if known
    )


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
