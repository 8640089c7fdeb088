"""Draws the hidden states of one sentence over their exact posterior."""

from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from ..fonts import Lettering, readable, shortened, text_width, warn_of_missing

WORDS_A_ROW = 64
ROW_INCHES = 24.0
"""The greatest width of a row, inches. With long words a row has fewer of them."""

MOST_ROWS = 12
ALL_ROWS_INCHES = 60.0
"""The greatest height of all rows together, inches. With many states or long words there are fewer rows."""

MOST_DRAWN = WORDS_A_ROW * MOST_ROWS
"""The most words of a picture."""

MOST_LETTERS = 40
"""The widest word, in columns. A wider one is shortened."""

MOST_STATES = 100
"""The most states of a picture: the sampled ones, then the likeliest."""

SIZE = 9
"""The font size, points."""

FEW_STATES = 12
UNLIKELY = 0.01
PATH = "#c8451b"

LEFT, RIGHT, TOP, BETWEEN = 0.6, 1.0, 0.55, 0.4
"""The space around the rows and between them, inches."""


@dataclass(frozen=True)
class _Layout:
    """The sizes of a picture, inches.

    Args:
        column: the width of a word's column.
        states: the height of the states in a row.
        words: the height of the words below them.
        turned: whether words are rotated by 90 degrees.
        rows: the words of each row.
    """

    column: float
    states: float
    words: float
    turned: bool
    rows: tuple[slice, ...]

    @classmethod
    def of(cls, words: list[str], font: FontProperties, states: int) -> "_Layout":
        widest = max(text_width(word, font) for word in set(words)) / 72
        needed = widest + 0.14
        turned = needed > 0.8
        column = 0.34 if turned else max(0.34, needed)
        a_row = min(WORDS_A_ROW, int(ROW_INCHES / column))
        high, below = states * max(0.1, min(0.34, 7.0 / states)), widest + 0.15 if turned else 0.25
        most = max(1, min(MOST_ROWS, int(ALL_ROWS_INCHES / (high + below + BETWEEN))))
        number = -(-len(words) // a_row)
        if number <= most:
            a_row = -(-len(words) // number)
        begins = range(0, len(words), a_row)[:most]
        rows = tuple(slice(begin, min(begin + a_row, len(words))) for begin in begins)
        return cls(column, high, below, turned, rows)

    @property
    def size(self) -> tuple[float, float]:
        width = self.column * max(row.stop - row.start for row in self.rows)
        return LEFT + width + RIGHT, TOP + len(self.rows) * (self.states + self.words + BETWEEN)

    def box(self, number: int) -> tuple[float, float, float, float]:
        """(left, bottom, width, height) of the states in a row, as shares of the picture."""
        (width, height), row = self.size, self.rows[number]
        top = height - TOP - number * (self.states + self.words + BETWEEN)
        inches = (LEFT, top - self.states, self.column * (row.stop - row.start), self.states)
        return inches[0] / width, inches[1] / height, inches[2] / width, inches[3] / height


def draw_states(words: list[str], states: list[int], posterior: np.ndarray, length: int | None = None) -> Figure:
    """Draws p(z_t = k | all words) as shades, the sampled states as a line over them, and the words below.

    With more than FEW_STATES states, those that are nowhere likelier than UNLIKELY and were not sampled are omitted;
    with more than MOST_STATES remaining, the least likely ones too. A long sentence continues in the next row. If it
    needs more than MOST_ROWS rows, or `words` are only its beginning, the beginning is drawn, and a text says so. Words
    wider than MOST_LETTERS columns lose their middle.

    Args:
        words: the T words of the sentence.
        states: the T sampled states, counted from 0. The picture counts from 1, as tasks do.
        posterior: p(z_t = k | all words), [T, K].
        length: the length of the whole sentence, if `words` are only its beginning.

    Returns:
        The figure.
    """
    length = len(words) if length is None else length
    words = [shortened(readable(word), MOST_LETTERS) for word in words]
    letters = Lettering.of(set(words))
    words, font = [letters.shown(word) for word in words], letters.font(SIZE)
    warn_of_missing(letters.missing)
    kept, left_out = _kept(states, posterior)
    layout = _Layout.of(words, font, len(kept))
    figure = plt.figure(figsize=layout.size)
    for number, row in enumerate(layout.rows):
        axes = figure.add_axes(layout.box(number))
        shades = axes.imshow(
            posterior[row][:, kept].T, aspect="auto", cmap="Greys", vmin=0, vmax=1, interpolation="nearest"
        )
        where = np.searchsorted(kept, states[row])
        path = np.where(np.isin(states[row], kept), where, np.nan)
        line = axes.plot(range(len(path)), path, color=PATH, linewidth=1.4, marker="o", markersize=4)
        _label(axes, words[row], font, kept, layout)
        if len(layout.rows) > 1:
            axes.set_title(f"words {row.start + 1:,} to {row.stop:,}", loc="left", fontsize=8, pad=3)
    first = figure.axes[0]
    first.set_ylabel("hidden state" + left_out, fontsize=9)
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.1}
    first.legend(line, ["as sampled"], frameon=False, fontsize=9, **place)
    if row.stop < length:
        said = f"the first {row.stop:,} of {length:,} words"
        figure.text(LEFT / layout.size[0], 1 - 0.1 / layout.size[1], said, fontsize=9, va="top")
    _add_scale(figure, shades, layout)
    return figure


def _kept(states: list[int], posterior: np.ndarray) -> tuple[np.ndarray, str]:
    """The states to draw, ascending, and a remark on the others."""
    number = posterior.shape[1]
    if number <= FEW_STATES:
        return np.arange(number), ""
    greatest = posterior.max(0)
    kept = np.union1d(np.flatnonzero(greatest > UNLIKELY), states)
    if len(kept) > MOST_STATES:
        # Sampled states take precedence over all others.
        order = np.lexsort((-greatest[kept], ~np.isin(kept, states)))
        return np.sort(kept[order[:MOST_STATES]]), f" ({MOST_STATES} of {number:,})"
    return kept, f" ({number - len(kept):,} others below {UNLIKELY})" if len(kept) < number else ""


def _label(axes: Axes, words: list[str], font: FontProperties, kept: np.ndarray, layout: _Layout) -> None:
    """Draws the words below, the numbers of the states at the left, and grid lines between them."""
    length, number = len(words), len(kept)
    turned = 90 if layout.turned else 0
    axes.set_xticks(range(length), words, fontproperties=font, rotation=turned, parse_math=False)
    step = 1 if layout.states / number > 0.15 else 2
    axes.set_yticks(range(0, number, step), [str(k + 1) for k in kept[::step]], fontsize=9)
    axes.set_xticks(np.arange(length + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="both", length=0)


def _add_scale(figure: Figure, shades: Any, layout: _Layout) -> None:
    """Adds the colour scale at the right of the first row."""
    (width, height), (_, bottom, _, high) = layout.size, layout.box(0)
    tall = min(1.6, layout.states)
    side = figure.add_axes((1 - 0.8 / width, bottom + high - tall / height, 0.14 / width, tall / height))
    figure.colorbar(shades, cax=side).set_label("p(state | words)", fontsize=9)
    side.tick_params(labelsize=8)
