"""Sentences without their padding, for operations that process each word independently."""

from torch import Tensor

from .fast_linear import GRAIN


class Packing:
    """The concatenated words of sentences: x [n, T, d] <-> packed [words, d].

    The packed rows include a few padded positions, if there are any, so that the number of rows is a multiple of GRAIN.
    """

    def __init__(self, inside: Tensor) -> None:
        """Numbers the words, which are at the positions where inside [n, T] is True."""
        self.shape = inside.shape
        kept = inside.flatten().clone()
        kept[(~kept).nonzero()[: -int(kept.sum()) % GRAIN, 0]] = True
        self.places = kept.nonzero()[:, 0]
        self.numbers = kept.cumsum(0) - 1

    def pack(self, x: Tensor) -> Tensor:
        """The packed rows [words, d] of x [n, T, d]."""
        return x.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """The packed rows [words, d] at their positions [n, T, d]. Unpacked padding is zero."""
        n, length = self.shape
        padded = packed.new_zeros(n * length, packed.shape[1])
        return padded.index_copy(0, self.places, packed).reshape(n, length, packed.shape[1])

    def number(self, rows: Tensor, positions: Tensor) -> Tensor:
        """The indices [m] in the packed rows of the words at (rows, positions) [m]."""
        return self.numbers[rows * self.shape[1] + positions]
