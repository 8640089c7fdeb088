"""What is written in figures, and how their lines are told apart."""

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

Row = dict[str, Any]

LINE = 0.12
"""Inches of a line below the panels."""

CAPTION_LINES = 2
"""Lines below the panels at most; the report says more."""

LONGEST_LABEL = 40
"""Characters of a name in a figure."""

DASHES, MARKERS = ("-", "--", ":", "-."), "osD^vP*"


def plain_text(text: str) -> str:
    """Text that matplotlib shows as it is: no $ begins a formula, and no _ takes a name out of the legend."""
    text = text.replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text


def marked(name: str, saturated: bool, remark: str = "") -> str:
    """A model's name for a figure, with a remark where it is not saturated, and another one if given."""
    said, name = ", ".join(filter(None, ["" if saturated else "not saturated", remark])), brief(name)
    return plain_text(f"{name} ({said})" if said else name)


def brief(name: str) -> str:
    """The name, short enough for a figure: of a long one, its beginning and its end."""
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 12]}\u2026{name[-11:]}"


def write_below(figure: Figure, said: list[str]) -> None:
    """Writes sentences below the panels, at most CAPTION_LINES lines; the figure grows by their height.

    Args:
        figure: with its panels.
        said: sentences, the most important first; those that do not fit are left to the report.
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
    """The look of each line: a colour for each group; a dash and a marker for each line of that colour."""
    names, members, looks = list(dict.fromkeys(groups)), [0] * 10, []
    for group in groups:
        color = names.index(group) % 10
        number, members[color] = members[color], members[color] + 1
        look = {"color": colormaps["tab10"](color), "linestyle": DASHES[number % len(DASHES)]}
        looks.append(look | {"marker": MARKERS[number % len(MARKERS)]})
    return looks
