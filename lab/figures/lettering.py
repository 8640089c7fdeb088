"""The texts in figures, and the colours, dashes and markers of their lines."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

Row = dict[str, Any]

LINE = 0.12
"""The height of a line of text below the panels, inches."""

CAPTION_LINES = 2
"""The most lines of text below the panels. The report has more."""

LONGEST_LABEL = 40
"""The most characters of a name in a figure."""

DASHES, MARKERS = ("-", "--", ":", "-."), "osD^vP*"


def plain_text(text: str) -> str:
    """Text that matplotlib shows literally: $ does not begin a formula, and _ does not hide a name in the legend."""
    text = text.replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def marked(name: str, saturated: bool, remark: str = "") -> str:
    """A model's name for a figure, with a remark if it is not saturated, and another one if given."""
    said, name = ", ".join(filter(None, ["" if saturated else "not saturated", remark])), brief(name)
    return plain_text(f"{name} ({said})" if said else name)


def brief(name: str) -> str:
    """The name, short enough for a figure: a long one becomes its beginning, an ellipsis and its end."""
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 12]}\u2026{name[-11:]}"


def write_below(figure: Figure, said: list[str]) -> None:
    """Writes sentences below the panels, in at most CAPTION_LINES lines, and enlarges the figure by their height.

    Args:
        figure: the figure with its panels.
        said: sentences, the most important first. Those that do not fit are omitted.
    """
    width, height = figure.get_size_inches()
    shown: list[str] = []
    for part in said:
        lines = textwrap.wrap(" ".join([*shown, part]), int(17 * width))
        if len(lines) <= CAPTION_LINES:
            shown.append(part)
    if shown:
        text = textwrap.fill(" ".join(shown), int(17 * width))
        figure.set_size_inches(width, height + LINE * (text.count("\n") + 1))
        figure.supxlabel(plain_text(text), fontsize=7)


def looks_of(groups: Sequence[str]) -> list[Row]:
    """The look of each line: one colour for each group, and within a colour a dash and a marker for each line."""
    names, members, looks = list(dict.fromkeys(groups)), [0] * 10, []
    for group in groups:
        color = names.index(group) % 10
        number, members[color] = members[color], members[color] + 1
        look = {"color": colormaps["tab10"](color), "linestyle": DASHES[number % len(DASHES)]}
        looks.append(look | {"marker": MARKERS[number % len(MARKERS)]})
    return looks
