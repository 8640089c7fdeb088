"""The sizes of Liu et al. (2022): Tables 3 and 4 of transformers, the LSTMs of A.3, and how many parameters a size has.

A row is called as its model is, bert-12x768: layers x width (d-model). Heads are 64 wide, so that there are width / 64.
The MLP's inner width (d-inter) is 4 x width at every row. Table 3 has it so; Table 4 prints another number at five of
its seven rows (320, 384, 640, 960 and 1920), which are changed here: its small models are to be replicated into the one
of 1920, and replication by r takes an inner width of k d to one of k r d, so that k must be the same at all rows.
Of LSTMs the paper lists hidden sizes and numbers of layers; they are paired in their order, which gives five pairs of
Table 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from .build import HEAD_SIZE, size_of
from .count import Count, count_of

BERT_ROWS = 30_522
"""Rows of BERT's embedding, special tokens included (Devlin et al. 2019)."""

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

LSTMS = ((4, 128), (6, 256), (8, 512), (12, 768), (16, 1024))
"""layers, hidden units a direction."""

RECURRENT = ("lstm", "lstm-residual")


@dataclass(frozen=True)
class Size:
    """A row of the ladder. where: the tables it is in; published_inner: d-inter as printed there, None for LSTMs."""

    kind: str
    layers: int
    width: int
    where: str
    published_inner: int | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.layers}x{self.width}"

    @property
    def heads(self) -> int | None:
        return None if self.kind in RECURRENT else max(1, self.width // HEAD_SIZE)

    @property
    def inner(self) -> int | None:
        """d-inter as it is built."""
        return None if self.kind in RECURRENT else 4 * self.width

    @property
    def changed(self) -> bool:
        """Whether d-inter is not the published one."""
        return self.inner != self.published_inner


def ladder(kind: str) -> list[Size]:
    """The published sizes of a kind of model, the narrowest first; all kinds of transformers share Tables 3 and 4."""
    if kind in RECURRENT:
        return [Size(kind, layers, width, "A.3") for layers, width in LSTMS]
    rows = []
    for layers, width, inner in sorted({*TABLE_3, *TABLE_4}, key=lambda row: row[1]):
        tables = [name for name, table in (("3", TABLE_3), ("4", TABLE_4)) if (layers, width, inner) in table]
        rows.append(Size(kind, layers, width, f"Table {' and '.join(tables)}", inner))
    return rows


def nearest(kind: str, layers: int, width: int, fits: Callable[[int, int], bool]) -> Size | None:
    """The row that fits(layers, width) and is the fewest doublings of layers and width away; None where none fits."""

    def doublings(row: Size) -> float:
        return abs(math.log2(row.width / width)) + abs(math.log2(row.layers / layers))

    return min((row for row in ladder(kind) if fits(row.layers, row.width)), key=doublings, default=None)


def count_parameters(name: str, vocab_size: int, max_length: int) -> Count:
    """How many parameters such a model has; none is built. Raises InputError for a name of no model."""
    return count_of(*size_of(name), vocab_size, max_length)
