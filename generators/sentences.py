"""What sampling gives, and what is asked about it: sentences with their latent variables, and places in them to predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..estimate import Estimate

INTEGERS = (
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


@dataclass(frozen=True)
class Sentences:
    """tokens [n, T] int64, padded with the language's pad_id; lengths [n]; latents: name -> [n, ...], as sampled.

    They may be given as integers of any width, as a corpus stores them, and become int64. Raises InputError for others.
    """

    tokens: Tensor
    lengths: Tensor
    latents: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        latents = {name: as_integers(f"the latent '{name}'", latent) for name, latent in self.latents.items()}
        for name, values in (
            ("tokens", as_integers("tokens", self.tokens)),
            ("lengths", as_integers("lengths", self.lengths)),
            ("latents", latents),
        ):
            object.__setattr__(self, name, values)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Sentences":
        return Sentences(self.tokens[rows], self.lengths[rows], {k: v[rows] for k, v in self.latents.items()})

    def split(self, size: int) -> "Iterator[Sentences]":
        """The sentences in order, `size` at a time."""
        for begin in range(0, len(self), size):
            yield self[begin : begin + size]

    def mask(self, hidden: Tensor, mask_id: int) -> "Batch":
        """The batch that hides the words at hidden [n, T] bool, and asks for them in row-major order."""
        rows, positions = hidden.nonzero(as_tuple=True)
        return Batch(self.tokens.masked_fill(hidden, mask_id), rows, positions, self.tokens[rows, positions])

    def to(self, device: torch.device | str) -> "Sentences":
        latents = {name: latent.to(device) for name, latent in self.latents.items()}
        return replace(self, tokens=self.tokens.to(device), lengths=self.lengths.to(device), latents=latents)


@dataclass(frozen=True)
class Batch:
    """Masked sentences and what to predict: the word targets[i] at (rows[i], positions[i]), i < m.

    inputs [n, T]: the tokens with mask_id at the hidden positions and pad_id beyond the end. With masking "one", m = n
    and rows is 0 .. n-1. With masking "next", see `batches.next_words`.
    """

    inputs: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor

    def mean(self, values: Tensor) -> Estimate:
        """The mean of one value [m] a prediction, with a standard error that takes each sentence as one draw."""
        values = values.double()
        zeros = torch.zeros(len(self.inputs), dtype=torch.float64, device=values.device)
        rows = self.rows.to(values.device)
        return Estimate.from_ratio(zeros.index_add(0, rows, values), zeros.index_add(0, rows, torch.ones_like(values)))

    def select(self, rows: slice | Tensor) -> "tuple[Batch, Tensor]":
        """Some of the sentences with what is to be predicted there.

        Args:
            rows: a slice of the sentences, or the numbers of different ones; they are numbered anew in this order.

        Returns:
            The batch of these sentences, and which predictions [m'] of this batch it has, in the order they have here.
        """
        number = torch.full((len(self.inputs),), -1, device=self.rows.device)
        number[rows] = torch.arange(len(number[rows]), device=number.device)
        which = (number[self.rows] >= 0).nonzero()[:, 0]
        places = number[self.rows[which]], self.positions[which], self.targets[which]
        return Batch(self.inputs[rows], *places), which

    @classmethod
    def join(cls, batches: "Sequence[Batch]") -> "Batch":
        """One batch of all their sentences, of one width, in the order given."""
        begins = torch.tensor([0] + [len(some.inputs) for some in batches]).cumsum(0).tolist()
        rows = torch.cat([some.rows + begin for some, begin in zip(batches, begins, strict=False)])
        inputs, positions, targets = (
            torch.cat([getattr(some, name) for some in batches]) for name in ("inputs", "positions", "targets")
        )
        return cls(inputs, rows, positions, targets)


def as_integers(name: str, values: Any, device: torch.device | None = None) -> Tensor:
    """Integers of any width and byte order, in a tensor, an array or lists, as int64 on the device.

    Raises InputError, naming the dtype, for anything else.
    """
    if not isinstance(values, Tensor):
        try:
            array = np.asarray(values)
        except (ValueError, TypeError, OverflowError):
            raise InputError(f"{name} are no table of integers, expected rows of the same length; pad them") from None
        if array.dtype.kind not in "iu" and array.size:
            raise InputError(f"{name} are {array.dtype}, expected integers; convert them")
        return torch.from_numpy(array.astype(np.int64)).to(device)
    if values.dtype not in INTEGERS:
        raise InputError(f"{name} are {values.dtype}, expected integers such as torch.int64; convert them")
    return values.to(device=device, dtype=torch.int64)
