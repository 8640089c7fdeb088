"""Pictures of one sentence: its derivation tree, or its hidden states over the exact posterior."""

import io
from dataclasses import dataclass, field
from functools import singledispatch
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import nltk
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from ..disk import write_atomic
from ..errors import InputError
from ..generators import HMM, PCFG, Language, Sentences
from ..generators.trees import nltk_trees

FONT = FontProperties(family="DejaVu Sans", size=11)
GAP = 12.0
"""Points between neighbouring words."""

LEVEL = 34.0
"""Points from a symbol down to the next."""

MARGIN = 14.0
DPI = 150
MOST_PIXELS = 32_000
"""Of a side; longer sentences are drawn with fewer dots an inch."""

FEW_STATES = 12
UNLIKELY = 0.01

EDGE: dict[str, Any] = {"color": "0.55", "linewidth": 1.0, "zorder": 1, "solid_joinstyle": "round"}
WORD = "#1f4e8c"
PATH = "#c8451b"


def check_png(path: Path) -> None:
    """Raises InputError for a path that no PNG file can be written to."""
    if path.suffix.lower() != ".png":
        raise InputError(f"--png {path}: expected a file name that ends in .png; rename it")
    if not path.parent.is_dir() or path.is_dir():
        wrong = "is a directory" if path.is_dir() else f"there is no directory {path.parent}"
        raise InputError(f"--png {path}: {wrong}, expected a file in a directory that exists; choose another place")


def save_png(figure: Figure, path: Path) -> None:
    """Writes the figure whole or not at all."""
    content = io.BytesIO()
    dpi = min(DPI, MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(content, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.12)
    plt.close(figure)
    write_atomic(path, content.getvalue())


@singledispatch
def picture(language: Language, sentences: Sentences) -> Figure:
    """The first of the sentences, drawn. Raises InputError for a language without trees or states."""
    raise InputError(
        f"--png: a {type(language).__name__} has neither trees nor hidden states, expected a grammar or an HMM; "
        "leave it out"
    )


@picture.register
def _(language: PCFG, sentences: Sentences) -> Figure:
    return draw_tree(next(iter(nltk_trees(language, sentences))))


@picture.register
def _(language: HMM, sentences: Sentences) -> Figure:
    first = sentences[:1]
    posterior = language.posterior(first.tokens, first.lengths)[0].cpu().numpy()
    return draw_states(language.decode(first)[0].split(" "), first.latents["states"][0].tolist(), posterior)


@dataclass
class _Node:
    """A symbol or word in a picture: what is below it, the width that all of it needs, and where it stands (points)."""

    text: str
    depth: int
    children: list["_Node"] = field(default_factory=list)
    width: float = 0.0
    x: float = 0.0


def draw_tree(tree: nltk.Tree) -> Figure:
    """The tree from the top down, its words on one line at the bottom.

    Each node has a strip of its own, as wide as its text or all that is below it, so no two texts overlap; an edge
    leads down by one level, and to a word from there straight down.
    """
    nodes = _laid_out(tree)
    depth = max(node.depth for node in nodes)
    bottom = MARGIN + 6
    y = {level: bottom + LEVEL * (depth - level) for level in range(depth + 1)}
    width, height = nodes[0].width + 2 * MARGIN, y[0] + MARGIN + 6
    figure = plt.figure(figsize=(max(width, 100) / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-MARGIN, max(width, 100) - MARGIN), ylim=(0, height))
    axes.axis("off")
    for node in nodes:
        for child in node.children:
            foot = y[child.depth] if child.children else bottom
            axes.plot([node.x, child.x, child.x], [y[node.depth], y[child.depth], foot], **EDGE)
    for node in nodes:
        color, at = ("black", y[node.depth]) if node.children else (WORD, bottom)
        box = {"boxstyle": "square,pad=0.18", "facecolor": "white", "edgecolor": "none"}
        axes.text(
            node.x,
            at,
            node.text,
            ha="center",
            va="center",
            color=color,
            fontproperties=FONT,
            bbox=box,
            parse_math=False,
        )
    return figure


def _laid_out(tree: nltk.Tree) -> list[_Node]:
    """All nodes with their places, parents before children; without recursion: trees may be deep."""
    root = _Node(tree.label(), 0)
    nodes, todo = [], [(root, tree)]
    while todo:
        node, part = todo.pop()
        nodes.append(node)
        if isinstance(part, nltk.Tree):
            node.children = [
                _Node(child.label() if isinstance(child, nltk.Tree) else child, node.depth + 1) for child in part
            ]
            todo += reversed(list(zip(node.children, part, strict=True)))
    for node in reversed(nodes):
        below = sum(child.width for child in node.children)
        literal = node.text.replace("$", r"\$") or "-"
        node.width = max(below, TextPath((0, 0), literal, prop=FONT).get_extents().width + GAP)
    root.x = root.width / 2
    for node in nodes:
        left = node.x - sum(child.width for child in node.children) / 2
        for child in node.children:
            child.x = left + child.width / 2
            left += child.width
    return nodes


def draw_states(words: list[str], states: list[int], posterior: np.ndarray) -> Figure:
    """p(z_t = k | all words) [T, K] as shades, the sampled states [T] as a line over them, the words below.

    States are counted from 1 in the picture, as tasks count them, and from 0 here. Of many states those are left out
    that are nowhere likelier than UNLIKELY and were not sampled.
    """
    kept = np.arange(posterior.shape[1])
    if len(kept) > FEW_STATES:
        kept = np.union1d(np.flatnonzero(posterior.max(0) > UNLIKELY), states)
    length, number = len(words), len(kept)
    needed = 0.1 * max(len(word) for word in words) + 0.14
    cell, turned = min(max(0.34, needed), 0.8), needed > 0.8
    row = max(0.1, min(0.34, 7.0 / number))
    size = (cell * length + 1.6, row * number + 1.2)
    figure = plt.figure(figsize=size)
    axes = figure.add_axes((0.6 / size[0], 0.7 / size[1], cell * length / size[0], row * number / size[1]))
    shades = axes.imshow(posterior[:, kept].T, aspect="auto", cmap="Greys", vmin=0, interpolation="nearest")
    line = axes.plot(range(length), np.searchsorted(kept, states), color=PATH, linewidth=1.4, marker="o", markersize=4)
    axes.set_xticks(range(length), words, fontsize=9, rotation=90 if turned else 0, parse_math=False)
    step = 1 if row > 0.15 else 2
    axes.set_yticks(range(0, number, step), [str(k + 1) for k in kept[::step]], fontsize=9)
    left_out = posterior.shape[1] - number
    axes.set_ylabel("hidden state" + (f" ({left_out} others below {UNLIKELY})" if left_out else ""), fontsize=9)
    axes.set_xticks(np.arange(length + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="both", length=0)
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.1}
    axes.legend(line, ["as sampled"], frameon=False, fontsize=9, **place)
    side = figure.add_axes((1 - 0.85 / size[0], 0.7 / size[1], 0.14 / size[0], min(1.6, row * number) / size[1]))
    figure.colorbar(shades, cax=side).set_label("p(state | words)", fontsize=9)
    side.tick_params(labelsize=8)
    return figure
