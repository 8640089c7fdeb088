"""Text in pictures: shown as it is written whatever it is, in fonts that have it, and named once where none has."""

import unicodedata
import warnings

import matplotlib.pyplot as plt
import nltk
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib import font_manager

from satlab.lab import fonts
from satlab.lab.describe import pictures
from satlab.lab.describe import text as show_text

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
"""With a joiner that holds two letters apart."""

ODD = [
    "New York",
    "$x$",
    "a_b$",
    r"\frac{1}",
    "_x",
    "\u0633\u0644\u0627\u0645",
    PERSIAN,
    "שלום",
    "nan",
    "e\u0301t",
    "w" * 30,
]
TOTAL = "\U00030060"
"""An ideograph of Unicode 15 that few fonts have."""


@pytest.fixture
def ideographs(tmp_path):
    """A font with TOTAL alone, installed."""
    pen = TTGlyphPen(None)
    for place, move in [((0, 0), pen.moveTo), ((0, 700), pen.lineTo), ((700, 0), pen.lineTo)]:
        move(place)
    pen.closePath()
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", "total"])
    builder.setupCharacterMap({ord(TOTAL): "total"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "total": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (1000, 0), "total": (1000, 0)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Satlab Test", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path / "test.ttf"
    builder.save(path)
    before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    fonts._beyond.cache_clear()
    yield "Satlab Test"
    font_manager.fontManager.ttflist[:] = before
    fonts._beyond.cache_clear()


@pytest.mark.filterwarnings("error")
def test_a_font_that_has_the_character_is_taken(ideographs, tmp_path):
    lettering = fonts.Lettering.of([TOTAL, "a"])
    assert lettering == fonts.Lettering((fonts.FAMILY, ideographs), frozenset())
    figure, axes = plt.subplots()
    axes.set_title(TOTAL)
    assert not fonts.fit_fonts(figure)
    assert axes.title.get_text() == TOTAL
    for suffix in ("png", "pdf"):
        figure.savefig(tmp_path / f"a.{suffix}")
    plt.close(figure)
    states = pictures.draw_states([TOTAL, "a"], [0, 0], np.ones((2, 1)))
    assert [label.get_text() for label in states.axes[0].get_xticklabels()] == [TOTAL, "a"]
    pictures.save_png(states, tmp_path / "b.png")


def test_what_no_font_has_is_named_in_one_line(tmp_path):
    words = ["\u0378\u0379", "\u0380 \u0381", "a\u0382\u0383", "\u038b\u038d"] * 3
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        figure = pictures.draw_states(words, [0] * 12, np.ones((12, 1)))
        pictures.save_png(figure, tmp_path / "a.png")
        figure = pictures.draw_tree(nltk.Tree("S", words))
        pictures.save_png(figure, tmp_path / "b.png")
    assert len(said) == 2
    for each in said:
        assert str(each.message).startswith("no installed font has \u0378 (U+0378), ")
        assert " and 3 more characters: drawn as \u25a1; install one that does" in str(each.message)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc\x07", r"a\tb\nc\x07"),
        ("x\udcff\ud800", r"x\xff\ud800"),
        ("\u2028", r"\u2028"),
        ("\u202ecba\u2066\ufeff", "cba"),
        (PERSIAN, PERSIAN),
        ("\u2764\ufe0f", "\u2764"),
    ],
)
def test_what_has_no_shape_is_escaped_or_left_out(text, shown):
    assert fonts.readable(text) == shown


@given(st.text())
def test_readable_text_has_no_control_characters_and_stays_as_it_is(text):
    shown = fonts.readable(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert fonts.readable(shown) == shown


@given(st.text(), st.integers(8, 60))
def test_a_shortened_text_fits_and_shows_that_it_is_short(text, most):
    short = fonts.shortened(text, most)
    assert fonts.columns(short) <= most
    if short != text:
        beginning, ellipsis, end = short.partition(fonts.ELLIPSIS) if fonts.ELLIPSIS not in text else (short, "…", "")
        assert ellipsis
        assert fonts.ELLIPSIS in text or (text.startswith(beginning) and text.endswith(end))


@pytest.mark.filterwarnings("ignore:no installed font")
@settings(max_examples=15, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
@example(ODD)
@example(["\ud800", "\x00", "\U0001f469\u200d\U0001f467", "中" * 99, "w" * 300, "$", "$$", r"\$"])
def test_any_words_are_drawn_whole_each_under_its_state(words):
    figure = pictures.draw_states(words, [0] * len(words), np.ones((len(words), 2)) / 2)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    labels = axes.get_xticklabels()
    assert [label.get_position()[0] for label in labels] == list(range(len(words)))
    fit = [fonts.shortened(fonts.readable(word), 40) for word in words]
    lettering = fonts.Lettering.of(fit)
    assert [label.get_text() for label in labels] == [lettering.shown(word) for word in fit]
    assert not any(label.get_parse_math() for label in labels)
    plt.close(figure)


def test_words_with_blanks_stand_under_their_states_in_text():
    sentence = {"log_prob_nats": -1.0, "words": ["New York", "a\nb", "日本", "Rome"], "states": [1, 2, 3, 4]}
    words, states, _ = show_text._sentences([sentence])
    assert words == r"words   'New York' a\nb 日本 Rome"
    assert states == r"states           1    2    3    4"
