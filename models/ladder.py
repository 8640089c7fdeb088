"""The sizes of Liu et al. (2022): Tables 3 and 4 for transformers, and the LSTMs of A.3.

A row has the name of its model, such as bert-12x768: layers x width (d-model). Heads are 64 wide, so a model has
width / 64 heads.

The MLP's inner width (d-inter) is 4 x width in every row. Table 3 agrees. Table 4 prints another number in five of its
seven rows (widths 320, 384, 640, 960 and 1920). Here these rows also have 4 x width, because the small models of Table
4 must be replicable into the model of width 1920: replication by r turns an inner width of k d into k r d, so k must be
the same in all rows.

For LSTMs, the paper lists hidden sizes and numbers of layers. Here they are paired in the order of the lists, which
gives five (layers, width) pairs of Table 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .names import name_of, network_of
from .networks.base import Count, SizedNetwork, networks
from .networks.lstm import RecurrentNetwork
from .networks.transformer import TransformerNetwork

BERT_ROWS = 30_522
"""The number of rows of BERT's embedding, including special tokens (Devlin et al. 2019)."""

TABLE_3 = (
    (1, 64, 256),
    (4, 128, 512),
    (5, 192, 768),
    (6, 256, 1024),
    (8, 512, 2048),
    (12, 768, 3072),
    (16, 1024, 4096),
    (20, 1280, 5120),
    (24, 1536, 6144),
)
"""layers, d-model, d-inter, as published."""

TABLE_4 = (
    (4, 128, 512),
    (5, 192, 768),
    (6, 320, 1024),
    (7, 384, 2048),
    (12, 640, 3072),
    (16, 960, 4096),
    (20, 1920, 5120),
)
"""layers, d-model, d-inter, as published."""

LSTMS = ((4, 128), (6, 256), (8, 512), (12, 768), (16, 1024))
"""layers, hidden units per direction."""


@dataclass(frozen=True)
class Size:
    """A row of the ladder.

    Args:
        network: the network of this size, with its other settings at their defaults.
        where: the tables that list the size.
        published_inner: the published d-inter; None for LSTMs.
    """

    network: SizedNetwork
    where: str
    published_inner: int | None = None

    @property
    def name(self) -> str:
        """The model's name."""
        return name_of(self.network)

    @property
    def layers(self) -> int:
        """The number of layers."""
        return self.network.layers

    @property
    def width(self) -> int:
        """The number of features of a position."""
        return self.network.width

    @property
    def heads(self) -> int | None:
        """The number of attention heads; None for LSTMs."""
        return self.network.number_of_heads if isinstance(self.network, TransformerNetwork) else None

    @property
    def inner(self) -> int | None:
        """The d-inter of the model; None for LSTMs."""
        return 4 * self.width if isinstance(self.network, TransformerNetwork) else None

    @property
    def changed(self) -> bool:
        """Whether d-inter differs from the published one."""
        return self.inner != self.published_inner


def ladder(kind: str) -> list[Size]:
    """The published sizes of a kind of network, the narrowest first.

    Args:
        kind: the name of a registered network. All transformers share Tables 3 and 4.

    Returns:
        The rows; none for a kind that is neither a transformer nor an LSTM.

    Raises:
        InputError: for an unknown kind.
    """
    entry = networks[kind]
    if issubclass(entry, RecurrentNetwork):
        return [Size(entry(layers, width), "A.3") for layers, width in LSTMS]
    if not issubclass(entry, TransformerNetwork):
        return []
    rows = []
    for layers, width, inner in sorted({*TABLE_3, *TABLE_4}, key=lambda row: row[1]):
        tables = [name for name, table in (("3", TABLE_3), ("4", TABLE_4)) if (layers, width, inner) in table]
        rows.append(Size(entry(layers, width), f"Table {' and '.join(tables)}", inner))
    return rows


def nearest(kind: str, layers: int, width: int, fits: Callable[[int, int], bool]) -> Size | None:
    """The row that fits and is nearest to a size, in doublings of layers and of width.

    Args:
        kind: the name of a registered network.
        layers: the number of layers of the size.
        width: the width of the size.
        fits: whether a row with these (layers, width) may be chosen.

    Returns:
        The row; None if none fits.
    """

    def doublings(row: Size) -> float:
        return abs(math.log2(row.width / width)) + abs(math.log2(row.layers / layers))

    return min((row for row in ladder(kind) if fits(row.layers, row.width)), key=doublings, default=None)


def count_parameters(name: str, vocab_size: int, max_length: int) -> Count:
    """The number of parameters of a model, without building it. Raises InputError for an unknown name."""
    return network_of(name).count(vocab_size, max_length)
