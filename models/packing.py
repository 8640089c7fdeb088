"""Sentences without their padding: what works word by word then works on words alone."""

from torch import Tensor


class Packing:
    """The words of sentences [n, T], one after the other: x [n, T, d] <-> packed [words, d]."""

    def __init__(self, inside: Tensor) -> None:
        """inside [n, T] bool: where words stand."""
        self.shape = inside.shape
        self.places = inside.flatten().nonzero()[:, 0]
        self.numbers = inside.flatten().cumsum(0) - 1

    def pack(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1).index_select(0, self.places)

    def unpack(self, packed: Tensor) -> Tensor:
        """[n, T, d], zero at the padding."""
        n, length = self.shape
        padded = packed.new_zeros(n * length, packed.shape[1])
        return padded.index_copy(0, self.places, packed).unflatten(0, (n, length))

    def number(self, rows: Tensor, positions: Tensor) -> Tensor:
        """Where the words at (rows, positions) [m] lie among the packed."""
        return self.numbers[rows * self.shape[1] + positions]
