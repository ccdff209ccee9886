"""Numbers against what is swept: the generalization gap and the accuracies, as lines and over two settings."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from cnnexp.reports.figures import FAINT, TRAIN, VAL, label_axes, new_figure
from cnnexp.reports.learning_curve import SIZE
from cnnexp.reports.statistic import Statistic
from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import in_words, is_number, key_of, short_names, shortened, shown_value

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

    Error bars are 95 % t-intervals of the means over three seeds or more. In the gap's panels the other settings
    have a line each, where these are at most six; otherwise, and for the accuracies, means over them are drawn
    without error bars, since their spread isn't the seeds'. An axis is logarithmic where positive numbers span a
    factor of ten.
    """
    names = short_names(study.swept)
    measured = [c for c in study.by_settings if c.mean("generalization_gap") is not None]
    values = {key: _values(measured, key) for key in study.swept}
    swept = [key for key in study.swept if 2 <= len(values[key]) <= MOST_VALUES][:MOST_SETTINGS]
    if not swept:
        return None
    title = "At the best epoch; error bars: 95 % interval of the mean, for three seeds or more"
    figure = new_figure(9.5, 3.2 * len(swept) + 0.3, title)
    grid = figure.subplots(len(swept), 2, squeeze=False)
    for key, (left, right) in zip(swept, grid, strict=True):
        others = [other for other in study.swept if other != key]
        lines: dict[str, list[Configuration]] = defaultdict(list)
        for configuration in measured:
            given = {other: configuration.values[other] for other in others if other in configuration.values}
            lines[in_words(given, names)].append(configuration)
        if len(lines) > len(SERIES):
            lines = {f"mean over {', '.join(names[other] for other in others)}": measured}
        gaps = [
            ("generalization_gap", label, colour, configurations)
            for colour, (label, configurations) in zip(SERIES, lines.items(), strict=False)
        ]
        _draw_panel(left, key, values[key], gaps, bars=len(lines) > 1 or not others)
        shown = [series for series in ACCURACIES if not (study.hides_test and series[0] == "test_accuracy")]
        _draw_panel(right, key, values[key], [(*series, measured) for series in shown], bars=not others)
        left.axhline(0, color=FAINT, linewidth=0.8)
        label_axes(left, names[key], "generalization gap, points")
        label_axes(right, names[key], "accuracy, %" + (" (mean over the others)" if others else ""))
    return figure


def draw_heat_maps(study: Study) -> Figure | None:
    """Draw gap and validation accuracy, their means in cells, over two swept settings; None unless two are swept.

    The settings may have at most 30 values each.
    """
    if len(study.swept) != 2 or all(c.mean("generalization_gap") is None for c in study.configurations):
        return None
    values = {key: _values(study.configurations, key) for key in study.swept}
    across, down = sorted(study.swept, key=lambda key: -len(values[key]))
    columns, rows = _numbered(values[across]), _numbered(values[down])
    if len(rows) < 2 or len(columns) > MOST_VALUES:
        return None
    names = short_names(study.swept)
    figure = new_figure(min(16.0, max(8.0, 2.6 + 1.3 * len(columns))), 1.8 + 0.4 * len(rows))
    left, right = figure.subplots(1, 2)
    for axes, number, title, colours in (
        (left, "generalization_gap", "generalization gap, points", "Reds"),
        (right, "val_accuracy", "validation accuracy, %", "Blues"),
    ):
        cells = np.full((len(rows), len(columns)), np.nan)
        for c in study.configurations:
            mean = c.mean(number)
            if mean is not None and c.values.keys() == values.keys():
                cells[rows[key_of(c.values[down])], columns[key_of(c.values[across])]] = 100 * mean
        image = axes.imshow(cells, cmap=colours, aspect="auto")
        if len(columns) <= 12:
            for (y, x), value in np.ndenumerate(cells):
                colour = "white" if math.isfinite(value) and image.norm(value) > 0.6 else "black"
                text = f"{value:.1f}" if math.isfinite(value) else "–"
                axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(title, fontsize=10)
        _name_ticks(axes, across, values[across], fontsize=9)
        axes.set_yticks(range(len(rows)), [tick_label(down, value) for value in values[down]], fontsize=9)
        axes.set_xlabel(names[across], fontsize=10)
        axes.set_ylabel(names[down], fontsize=10)
        figure.colorbar(image, ax=axes)
    return figure


def _values(configurations: Sequence[Configuration], key: str) -> list[Any]:
    """Return the values of a swept setting, each once, in order."""
    known = {key_of(c.values[key]): c.values[key] for c in configurations if key in c.values}
    return [known[place] for place in sorted(known)]


def _numbered(values: Sequence[Any]) -> dict[tuple, int]:
    return {key_of(value): number for number, value in enumerate(values)}


def _draw_panel(
    axes: Any, key: str, values: Sequence[Any], panel: Sequence[tuple[str, str, str, Sequence[Configuration]]],
    bars: bool,
) -> None:  # fmt: skip
    """Draw lines (what, label, colour, configurations) of means with their error bars against a setting."""
    null_at = {_images(c) for *_, configurations in panel for c in configurations if c.values.get(key, 0) is None}
    known = null_at.pop() if key == SIZE and len(null_at) == 1 else None
    place = _scale(axes, values, key, known)
    apart = place[key_of(None)] if None in values and known is None else math.nan
    # no line is drawn between names: their dots stand side by side
    unordered = any(isinstance(value, (str, bool)) for value in values)
    for number, (what, label, colour, configurations) in enumerate(panel):
        points = _points(configurations, key, place, what)
        if not points:
            continue
        x, mean, std = np.array(points).T
        if unordered and len(panel) > 1:
            x = x + 0.36 * (number / (len(panel) - 1) - 0.5)
        named = shortened(label, 50) or None
        for part in (x != apart, x == apart):  # nor to a null, whose number nobody knows
            if part.any():
                axes.errorbar(
                    x[part], mean[part], yerr=std[part] if bars and std.any() else None, marker="o", markersize=4,
                    linewidth=1.2, linestyle="" if unordered else "-", capsize=3, color=colour, label=named,
                )  # fmt: skip
                named = None
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)


def _images(configuration: Configuration) -> int | None:
    """Return on how many images a configuration's runs were trained, None where that isn't known of all alike."""
    counts = {run.record.images("train") for run in configuration.counted}
    return counts.pop() if len(counts) == 1 else None


def _scale(axes: Any, values: Sequence[Any], key: str, null_at: float | None) -> Mapping[tuple, float]:
    """Set a horizontal axis up for a setting's values, and return where each of them stands.

    A null stands among numbers at ``null_at``, the number that it means; at the end of the axis, after a gap,
    where that isn't known (None).
    """
    numbers = [value for value in values if is_number(value)]
    known = numbers + ([null_at] if None in values and null_at is not None else [])
    if len(numbers) < len([value for value in values if value is not None]) or len(known) < 2:
        _name_ticks(axes, key, values)
        axes.set_xlim(-0.5, len(values) - 0.5)
        return _numbered(values)
    low, high = min(known), max(known)
    place = {key_of(value): value for value in numbers}
    logarithmic = low > 0 and high >= 10 * low
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    if None not in values:
        if len(values) <= 8:
            axes.set_xticks(values)
            axes.xaxis.set_major_formatter("{x:g}")
        return place
    if null_at is not None:
        end, name = null_at, f"{shown_value(key, None)}: {null_at:,}"
    else:
        step = (high / low) ** 0.2 if logarithmic else 0.2 * (high - low)
        end, name = (high * step if logarithmic else high + step), shown_value(key, None)
        axes.axvline(high * step**0.5 if logarithmic else high + step / 2, color=FAINT, linewidth=1, linestyle=":")
    marked = [
        numbers[i] for i in sorted({*np.linspace(0, len(numbers) - 1, min(len(numbers), 7)).round().astype(int)})
    ]
    # on a line of its own: it may stand close to a number, or at the same place
    axes.set_xticks([*marked, end], [*(f"{value:g}" for value in marked), f"\n{name}"])
    return place | {key_of(None): end}


def _name_ticks(axes: Any, key: str, values: Sequence[Any], **style: Any) -> None:
    labels = [tick_label(key, value) for value in values]
    if sum(map(len, labels)) > 40:  # they wouldn't fit side by side
        style |= {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(values)), labels, **style)


def _points(
    configurations: Sequence[Configuration], key: str, place: Mapping[tuple, float], number: str
) -> list[tuple[float, float, float]]:
    """Return place, mean and half its 95 % t-interval, in per cent, for each value that has numbers.

    The interval is left out (0) for fewer than three runs.
    """
    groups: dict[float, list[float]] = defaultdict(list)
    for configuration in configurations:
        if key in configuration.values:
            known = [100 * n for run in configuration.counted if (n := run.numbers[number]) is not None]
            groups[place[key_of(configuration.values[key])]] += known
    return sorted(
        (at, number.mean, number.half_width or 0.0)
        for at, number in ((at, Statistic(tuple(known))) for at, known in groups.items() if known)
    )


def tick_label(key: str, value: Any, longest: int = 22) -> str:
    """Return a setting's value, short enough for an axis."""
    return shortened(f"{value:.3g}" if isinstance(value, float) else shown_value(key, value), longest)
