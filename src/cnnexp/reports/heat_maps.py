"""The generalization gap and the validation accuracy over two swept settings."""

import math

import numpy as np
from matplotlib.figure import Figure

from cnnexp.reports.against import MOST_VALUES, setting_values, slanted, tick_label
from cnnexp.reports.figures import new_figure
from cnnexp.reports.study import Configuration, Study
from cnnexp.reports.swept import hashable, short_names


def draw_heat_maps(study: Study) -> Figure | None:
    """Draw gap and validation accuracy, their means in cells, over two swept settings; None unless two are swept.

    The settings may have at most 30 values each.
    """
    if len(study.swept) != 2:
        return None
    across, down = sorted(study.swept, key=lambda key: -len(setting_values(study.configurations, key)))
    columns, rows = setting_values(study.configurations, across), setting_values(study.configurations, down)
    if not (2 <= len(rows) <= MOST_VALUES and 2 <= len(columns) <= MOST_VALUES):
        return None
    if not any(c.mean("generalization_gap") is not None for c in study.configurations):
        return None
    names = short_names(study.swept)
    figure = new_figure(min(16.0, max(8.0, 2.6 + 1.3 * len(columns))), 1.8 + 0.4 * len(rows))
    at = {
        tuple(hashable(c.values[key]) for key in (down, across)): c
        for c in study.configurations
        if down in c.values and across in c.values
    }
    left, right = figure.subplots(1, 2)
    for axes, number, title, colours in (
        (left, "generalization_gap", "generalization gap, points", "Reds"),
        (right, "val_accuracy", "validation accuracy, %", "Blues"),
    ):
        cells = [[_mean(at.get((hashable(row), hashable(column))), number) for column in columns] for row in rows]
        image = axes.imshow(cells, cmap=colours, aspect="auto")
        if len(columns) <= 12:
            for (y, x), value in np.ndenumerate(cells):
                colour = "white" if math.isfinite(value) and image.norm(value) > 0.6 else "black"
                text = f"{value:.1f}" if math.isfinite(value) else "–"
                axes.text(x, y, text, ha="center", va="center", fontsize=8, color=colour)
        axes.set_title(title, fontsize=10)
        labels = [tick_label(across, value) for value in columns]
        axes.set_xticks(range(len(columns)), labels, fontsize=8, **slanted(labels))
        axes.set_yticks(range(len(rows)), [tick_label(down, v) for v in rows], fontsize=8)
        axes.set_xlabel(names[across], fontsize=9)
        axes.set_ylabel(names[down], fontsize=9)
        figure.colorbar(image, ax=axes)
    return figure


def _mean(configuration: Configuration | None, number: str) -> float:
    mean = configuration.mean(number) if configuration else None
    return math.nan if mean is None else 100 * mean
