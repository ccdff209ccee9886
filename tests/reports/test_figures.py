"""Texts in figures: drawn as they are, with a font that has them, else written out; never boxes."""

import warnings

import pytest
import torch
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.text import Text

from cnnexp.reports import figures
from cnnexp.reports.gallery import draw_examples
from cnnexp.reports.mistakes import draw_class_accuracy, draw_confusion

NAMES = ["猫", "犬", "🐱", "قطة", "$x^2$", "a $b", "<script>", "Ångström"]


def confusion(names):
    return draw_confusion(torch.ones(len(names), len(names)), names, "confusion")


def accuracy(names):
    rows = [{"class": name, "images": 9, "accuracy": 0.5, "low": 0.4, "high": 0.6} for name in names]
    return draw_class_accuracy(rows, 0.5, "accuracy")


def examples(names):
    return draw_examples(torch.zeros(len(names), 1, 4, 4, dtype=torch.uint8), names, "examples")


def drawn(figure) -> dict[str, Text]:
    """The texts of a figure, once it is drawn; matplotlib warns where a box stands for a character."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.png(figure)
    return {text.get_text(): text for text in figure.findobj(Text)}


@pytest.fixture
def fonts(monkeypatch):
    """Have the fonts alone that are called so, whatever is installed."""

    def only(*names: str) -> None:
        monkeypatch.setattr(fontManager, "ttflist", [font for font in fontManager.ttflist if font.name in names])
        monkeypatch.setattr(figures, "findSystemFonts", list)
        figures._others.cache_clear()

    yield only
    figures._others.cache_clear()


@pytest.mark.parametrize("draw", [confusion, accuracy, examples])
def test_what_no_font_has_is_written_out_and_nothing_is_mathematics(draw, fonts):
    fonts("DejaVu Sans")
    texts = drawn(draw([*NAMES, "ﷲ\U000115b8é", "①"]))
    assert {"[U+732B]", "[U+72AC]", *NAMES[2:]} <= {*texts}
    assert "①" in texts or "1" in texts
    assert any(text.startswith("[U+FDF2]") or "[U+115B8]" in text for text in texts)
    assert not texts["$x^2$"].get_parse_math()


@pytest.mark.parametrize("draw", [confusion, accuracy, examples])
def test_what_another_font_has_is_drawn_with_it(draw, fonts):
    fonts("DejaVu Sans", "STIXGeneral")  # which comes with matplotlib
    usual = figures._characters_of(figures._usual())
    other = findfont(FontProperties("STIXGeneral"))
    there = next(chr(char) for char in sorted(figures._characters_of(other) - usual) if chr(char).isprintable())
    texts = drawn(draw([f"{there} cat", "dog"]))
    assert "STIXGeneral" in texts[f"{there} cat"].get_fontfamily()


@pytest.mark.parametrize("draw", [confusion, accuracy, examples])
def test_chinese_is_drawn_where_a_font_has_it(draw):
    figures._others.cache_clear()
    if figures._fonts_for({"猫"})[1]:
        pytest.skip("no installed font has 猫")
    assert {*NAMES} <= {*drawn(draw(NAMES))}
