"""matplotlib figures without windows: made, and turned into PNG files' bytes."""

import io
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter

# it tells of a font that comes in one weight only, as most do that have many characters
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

_NOT_DRAWN = "Color|Last Resort"  # by FreeType; and matplotlib's boxes
_WIDE = "CJK|Unicode|WenQuanYi|Droid Sans Fallback|PingFang|YaHei|Gothic|Emoji|Symbola"
TRAIN, VAL, FAINT = "#1f6fb4", "#d1495b", "#8a8f98"
GAP_ALPHA = 0.25


def new_figure(
    width: float, height: float, title: str = "", layout: Literal["constrained"] | None = "constrained"
) -> Figure:
    """Return a figure, in inches, of no window and no pyplot state: nothing is left open."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(title, fontsize=10.5)
    return figure


def label_axes(axes: Axes, x: str, y: str = "", size: float = 9.0) -> None:
    """Name a panel's axes and draw a faint grid behind it."""
    axes.set_xlabel(x, fontsize=size)
    axes.set_ylabel(y, fontsize=size)
    axes.tick_params(labelsize=size - 1)
    axes.grid(alpha=0.25)


def draw_gap(
    axes: Axes, history: Sequence[Mapping[str, float]], alpha: float = GAP_ALPHA, label: str = ""
) -> None:
    """Draw the generalization gap of a run's epochs as a band between clean training and validation accuracy."""
    keys = ("epoch", "train_accuracy", "val_accuracy")
    rows = [row for row in history if all(key in row for key in keys)]
    if rows:
        epochs, train, val = ([row[key] for row in rows] for key in keys)
        axes.fill_between(epochs, train, val, color=FAINT, alpha=alpha, linewidth=0, zorder=0, label=label)


def draw_intervals(axes: Axes, rows: Sequence[Mapping[str, Any]], key: str, **style: Any) -> None:
    """Draw accuracies (``key``) as dots below each other, each with its interval from ``low`` to ``high``."""
    accuracy, low, high = (np.array([row[name] for row in rows]) for name in (key, "low", "high"))
    # at 0 and at 1 rounding can put the interval's end a hair inside of the accuracy
    spread = np.clip(np.stack([accuracy - low, high - accuracy]), 0, None)
    axes.errorbar(accuracy, range(len(rows)), xerr=spread, fmt="o", color=TRAIN, ecolor=FAINT, **style)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x", alpha=0.25)


def _draw_all_of(figure: Figure) -> None:
    """Have all texts drawn as they are, not as mathematics, with fonts that have their characters.

    Those that no installed font has are transliterated or written out, as [U+7167].
    """
    ticks = {
        axis: [label.get_text() for label in axis.get_ticklabels()]
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
    }
    texts = [text for text in figure.findobj(Text) if "\\mathdefault" not in text.get_text()]  # its own numbers
    fonts, missing = _fonts_for({char for text in texts for char in text.get_text() if char.isprintable()})
    written = {ord(char): written_out(char) for char in missing}
    for text in texts:
        text.set_parse_math(False)
        text.set_text(text.get_text().translate(written))
        text.set_fontfamily([*text.get_fontfamily(), *fonts])
    for axis, names in ticks.items():
        if missing & set("".join(names)):  # the axis would give them their texts again
            axis.set_ticklabels([name.translate(written) for name in names])


def _fonts_for(chars: set[str]) -> tuple[list[str], set[str]]:
    """Return fonts that have the characters which the usual one lacks, and the characters that none has."""
    missing = {char for char in chars if ord(char) not in _characters_of(_usual())}
    fonts = []
    for name in _others() if missing else ():
        if has := {char for char in missing if ord(char) in _characters_of(findfont(FontProperties(name)))}:
            fonts.append(name)
            missing -= has
        if not missing:
            break
    return fonts, missing


def written_out(char: str) -> str:
    """Return a character in ASCII: transliterated, or by its number, as [U+7167]."""
    simple = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return simple or ("" if unicodedata.category(char) in ("Mn", "Cf") else f"[U+{ord(char):04X}]")


@lru_cache(maxsize=1)
def _usual() -> str:
    return findfont(FontProperties())


@lru_cache(maxsize=1)
def _others() -> list[str]:
    """Return the names of installed fonts that can be drawn, those with many characters first."""
    for path in {*findSystemFonts()} - {
        font.fname for font in fontManager.ttflist
    }:  # since matplotlib listed them
        with suppress(OSError, RuntimeError):
            fontManager.addfont(path)
    found = {font.name for font in fontManager.ttflist if not re.search(_NOT_DRAWN, font.name)}
    return sorted(found, key=lambda name: (not re.search(_WIDE, name), name))


@lru_cache(maxsize=256)
def _characters_of(path: str) -> frozenset[int]:
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that FreeType doesn't read
        return frozenset()


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as a PNG file's bytes, to be written and shown wherever it is wanted."""
    file = io.BytesIO()
    _draw_all_of(figure)
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
