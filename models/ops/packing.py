"""Sentences without their padding: what works word by word then works on words alone."""

from torch import Tensor

from .fast_linear import GRAIN


class Packing:
    """The words of sentences [n, T], one after the other: x [n, T, d] <-> packed [words, d].

    The first of the padding goes with them where there is some, up to a number of rows that is a multiple of GRAIN.
    """

    def __init__(self, inside: Tensor) -> None:
        """inside [n, T] bool: where words stand."""
        self.shape = inside.shape
        kept = inside.flatten().clone()
        kept[(~kept).nonzero()[: -int(kept.sum()) % GRAIN, 0]] = True
        self.places = kept.nonzero()[:, 0]
        self.numbers = kept.cumsum(0) - 1

    def pack(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """[n, T, d], zero at the padding but for what of it is among the packed."""
        n, length = self.shape
        padded = packed.new_zeros(n * length, packed.shape[1])
        return padded.index_copy(0, self.places, packed).unflatten(0, (n, length))

    def number(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Where the words at (rows, positions) [m] lie among the packed."""
        return self.numbers[rows * self.shape[1] + positions]
