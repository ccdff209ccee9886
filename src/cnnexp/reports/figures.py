"""matplotlib figures without windows: made, and turned into PNG files' bytes."""

import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
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


def _draw_all_of(text: Text) -> None:
    """Have a text drawn with fonts that have its characters; those that none has are written out, as [U+7167]."""
    missing = {
        char for char in text.get_text() if char.isprintable() and ord(char) not in _characters_of(_usual())
    }
    if not missing:
        return
    fonts = []
    for path, name in _others():
        has = {char for char in missing if ord(char) in _characters_of(path)}
        if has:
            fonts.append(name)
            missing -= has
        if not missing:
            break
    if fonts:
        text.set_fontfamily([*text.get_fontfamily(), *fonts])
    if missing:
        text.set_text("".join(_written_out(char) if char in missing else char for char in text.get_text()))


def _written_out(char: str) -> str:
    simple = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
    return simple or ("" if unicodedata.category(char) in ("Mn", "Cf") else f"[U+{ord(char):04X}]")


@lru_cache(maxsize=1)
def _usual() -> str:
    return findfont(FontProperties())


@lru_cache(maxsize=1)
def _others() -> list[tuple[str, str]]:
    """Return the installed fonts that can be drawn, those with many characters first."""
    found = {
        font.name: font.fname for font in fontManager.ttflist if not re.search("Color|Last Resort", font.name)
    }
    wide = (
        "CJK",
        "Unicode",
        "WenQuanYi",
        "Droid Sans Fallback",
        "PingFang",
        "YaHei",
        "Gothic",
        "Emoji",
        "Symbola",
    )
    order = sorted(found, key=lambda name: (not any(word in name for word in wide), name))
    return [(found[name], name) for name in order]


@lru_cache(maxsize=256)
def _characters_of(path: str) -> frozenset[int]:
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that FreeType doesn't read
        return frozenset()


def png(figure: Figure, dpi: int = 110) -> bytes:
    """Return a figure as a PNG file's bytes, to be written and shown wherever it is wanted."""
    file = io.BytesIO()
    for text in figure.findobj(Text):
        _draw_all_of(text)
    figure.savefig(file, format="png", dpi=dpi)
    return file.getvalue()
