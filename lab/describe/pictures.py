"""Draws one sentence: its derivation tree, or its hidden states over their exact posterior."""

import io
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ...errors import InputError
from ...generators import HMM, PCFG, Language, Sentences
from ...generators.pcfg.trees import nltk_trees
from ...system.disk import write_atomic
from ...system.replaceable import check_replaceable
from ..fonts import Lettering, readable, shortened, text_width, warn_of_missing
from .state_picture import MOST_DRAWN, draw_states

if TYPE_CHECKING:
    import nltk

SIZE = 11
"""The font size, points."""

MOST_LETTERS = 48
"""The widest symbol or word, in columns. A wider one is shortened."""

GAP = 12.0
"""The space between neighbouring words, points."""

LEVEL = 34.0
"""The distance from a symbol down to the next level, points."""

MARGIN = 14.0
DPI = 150
MOST_PIXELS = 32_000
"""The most pixels of a side. Longer sentences are drawn at a lower resolution."""

MOST_AREA = 25_000_000
"""The most pixels of a picture. Larger ones are drawn at a lower resolution."""

MOST_LEAVES = 60
"""The most leaves of a tree. A larger one is cut at the greatest depth with at most as many."""

MOST_LEVELS = 80
"""The most levels of a tree, including that of the words. A deeper one is cut."""

MOST_POINTS = 2200
"""The greatest width of a tree that is cut, points."""

EDGE: dict[str, Any] = {"color": "0.55", "linewidth": 1.0, "zorder": 1, "solid_joinstyle": "round"}
OUTLINE: dict[str, Any] = {"edgecolor": "0.55", "linewidth": 1.0, "zorder": 1, "joinstyle": "round"}
BOX: dict[str, Any] = {"boxstyle": "square,pad=0.18", "facecolor": "white", "edgecolor": "none"}
WORD = "#1f4e8c"


def check_png(path: Path) -> None:
    """Checks the path of a picture.

    Raises:
        InputError: for a path to which no PNG file can be written.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"--png {path}: expected a file name that ends in .png; rename it")
    if not path.parent.is_dir():
        wrong = f"there is no directory {path.parent}"
        raise InputError(f"--png {path}: {wrong}, expected a file in a directory that exists; choose another place")
    check_replaceable(path, "--png ")


def save_png(figure: Figure, path: Path) -> None:
    """Writes the figure as a whole or not at all."""
    content = io.BytesIO()
    width, height = figure.get_size_inches()
    dpi = min(DPI, MOST_PIXELS / max(width, height), math.sqrt(MOST_AREA / (width * height)))
    figure.savefig(content, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
    write_atomic(path, content.getvalue())


@singledispatch
def picture(language: Language, sentences: Sentences) -> Figure:
    """A picture of the first of the sentences.

    Args:
        language: the language of the sentences.
        sentences: sentences sampled with their latent variables.

    Raises:
        InputError: for a language without trees or states.
    """
    raise InputError(
        f"--png: a {type(language).__name__} has neither trees nor hidden states, expected a grammar or an HMM; "
        "leave it out"
    )


@picture.register
def _(language: PCFG, sentences: Sentences) -> Figure:
    return draw_tree(next(iter(nltk_trees(language, sentences[:1]))))


@picture.register
def _(language: HMM, sentences: Sentences) -> Figure:
    tokens, states = sentences.tokens[0], sentences.latents["states"][0, :MOST_DRAWN].tolist()
    posterior = language.posterior(tokens[None])[0, :MOST_DRAWN].cpu().numpy()
    words = [language.words[token] for token in tokens[:MOST_DRAWN].tolist()]
    return draw_states(words, states, posterior, len(tokens))


@dataclass
class _Node:
    """A symbol or word in a picture.

    Args:
        text: its text.
        depth: its level, from 0 at the root.
        children: its children.
        words: the number of words below it; 1 for a word.
        cut: whether it replaces the words below a symbol, whose number is its text.
        width: the width of its subtree, points.
        x: its horizontal position, points.
    """

    text: str
    depth: int
    children: list["_Node"] = field(default_factory=list)
    words: int = 1
    cut: bool = False
    width: float = 0.0
    x: float = 0.0


def draw_tree(tree: "nltk.Tree") -> Figure:
    """The tree from the top down, with its words on one line at the bottom.

    Each node has its own strip, as wide as its text or its subtree, so that no two texts overlap. An edge leads down by
    one level, and from there vertically to a word. Only the top of a tree with more than MOST_LEAVES words or
    MOST_LEVELS levels is drawn: a triangle with a number replaces the words below a symbol, and the title says so.
    Texts wider than MOST_LETTERS columns lose their middle.

    Args:
        tree: the tree of a sentence.

    Returns:
        The figure.
    """
    nodes, title = _nodes(tree), ""
    levels = max(node.depth for node in nodes) + 1
    if nodes[0].words > MOST_LEAVES or levels > MOST_LEVELS:
        size = f"{nodes[0].words:,} words" + (f" and {levels:,} levels" if levels > MOST_LEVELS else "")
        title = f"the top of a tree over {size}; a triangle stands for as many words as it says"
        nodes, letters = _top(nodes)
    else:
        letters = _written(nodes)
        _lay_out(nodes, letters)
    depth = max(node.depth for node in nodes)
    bottom = MARGIN + 6
    y = {level: bottom + LEVEL * (depth - level) for level in range(depth + 1)}
    width = max(100, max(nodes[0].width, text_width(title, letters.font(SIZE))) + 2 * MARGIN)
    height = y[0] + MARGIN + 6 + (LEVEL if title else 0)
    figure = plt.figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-MARGIN, width - MARGIN), ylim=(0, height))
    axes.axis("off")
    style: dict[str, Any] = {"fontproperties": letters.font(SIZE), "parse_math": False}
    for node in nodes:
        for child in node.children:
            _lead(axes, node, child, y, y[child.depth] if child.children else bottom)
    for node in nodes:
        place = (node.x, y[node.depth]) if node.children else (node.x, bottom)
        axes.text(
            *place, node.text, color="black" if node.children else WORD, ha="center", va="center", bbox=BOX, **style
        )
    if title:
        axes.text(0, height - MARGIN, title, ha="left", va="top", **style)
    warn_of_missing(letters.missing)
    return figure


def _lead(axes: Axes, node: _Node, child: _Node, y: dict[int, float], foot: float) -> None:
    """Draws the edge from a node to its child, or the triangle that replaces the words below."""
    if child.cut:
        half, base = (child.width - GAP / 2) / 2, foot + 9
        corners = [(node.x, y[node.depth]), (child.x - half, base), (child.x + half, base)]
        axes.add_patch(Polygon(corners, facecolor="0.93", **OUTLINE))
    else:
        axes.plot([node.x, child.x, child.x], [y[node.depth], y[child.depth], foot], **EDGE)


def _nodes(tree: "nltk.Tree") -> list[_Node]:
    """All nodes, parents before children. Not recursive, because trees may be deep."""
    nodes: list[_Node] = []
    todo = [(_Node(tree.label(), 0), tree)]
    while todo:
        node, part = todo.pop()
        nodes.append(node)
        if not isinstance(part, str):
            node.children = [
                _Node(child if isinstance(child, str) else child.label(), node.depth + 1) for child in part
            ]
            todo += reversed(list(zip(node.children, part, strict=True)))
    for node in reversed(nodes):
        node.words = sum(child.words for child in node.children) if node.children else 1
    return nodes


def _written(nodes: list[_Node]) -> Lettering:
    """Replaces the nodes' texts by what can be drawn. Returns the lettering."""
    for node in nodes:
        node.text = shortened(readable(node.text), MOST_LETTERS)
    letters = Lettering.of(node.text for node in nodes)
    for node in nodes:
        node.text = letters.shown(node.text)
    return letters


def _top(nodes: list[_Node]) -> tuple[list[_Node], Lettering]:
    """The nodes down to the greatest depth that fits, laid out. At that depth one child replaces all words below."""
    leaves = Counter(node.depth for node in nodes if not node.children)
    inner = Counter(node.depth for node in nodes if node.children)
    # The number of leaves never falls with depth, because a symbol is replaced by at least one child.
    fitting, above = 0, leaves[0]
    for depth in range(1, min(max(inner), MOST_LEVELS - 2) + 1):
        above += leaves[depth]
        if above + inner[depth] > MOST_LEAVES:
            break
        fitting = depth
    few = [node for node in nodes if node.depth <= fitting + 1]
    letters = _written(few)
    for depth in range(fitting, -1, -1):
        top = _down_to(depth, few)
        _lay_out(top, letters)
        if top[0].width <= MOST_POINTS:
            break
    return top, letters


def _down_to(depth: int, nodes: list[_Node]) -> list[_Node]:
    copies = {id(node): replace(node) for node in nodes if node.depth <= depth}
    kept = list(copies.values())
    for node in copies.values():
        if node.depth < depth:
            node.children = [copies[id(child)] for child in node.children]
        elif node.children:
            alone = len(node.children) == 1 and not node.children[0].children
            word = replace(node.children[0]) if alone else _Node(f"{node.words:,}", depth + 1, cut=True)
            node.children = [word]
            kept.append(word)
    return kept


def _lay_out(nodes: list[_Node], letters: Lettering) -> None:
    """Sets the nodes' widths and positions."""
    font = letters.font(SIZE)
    for node in reversed(nodes):
        below = sum(child.width for child in node.children)
        node.width = max(below, text_width(node.text, font) + GAP)
    nodes[0].x = nodes[0].width / 2
    for node in nodes:
        left = node.x - sum(child.width for child in node.children) / 2
        for child in node.children:
            child.x = left + child.width / 2
            left += child.width
