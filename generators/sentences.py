"""Sentences with their latent variables, and batches: sentences with the positions to predict."""

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
    """Sampled sentences. Integers of any width, such as those in a corpus, become int64.

    Args:
        tokens: [n, T], padded with the language's pad_id.
        lengths: [n].
        latents: name -> latent variable [n, ...].

    Raises:
        InputError: for tokens, lengths or latents that are not integers.
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

    def check_words(self, vocab_size: int, what: str) -> None:
        """Checks that a model or language with this vocabulary can read the sentences.

        Args:
            vocab_size: V; the words are the tokens 0 to V - 1, and V is the padding.
            what: the name of the model or language, for the message.

        Raises:
            InputError: for a token outside the vocabulary, and for padding other than V.
        """
        inside = torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.lengths[:, None]
        if bool((inside & ((self.tokens < 0) | (self.tokens >= vocab_size))).any()):
            said = f"token {int(self.tokens[inside].max())}"
        elif bool((~inside & (self.tokens != vocab_size)).any()):
            said = f"padding {int(self.tokens[~inside & (self.tokens != vocab_size)][0])}"
        else:
            return
        raise InputError(
            f"the sentences hold {said}, but {what} has {vocab_size} words, expected tokens 0 to "
            f"{vocab_size - 1} and padding {vocab_size}; use sentences of its own language"
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Sentences":
        return Sentences(self.tokens[rows], self.lengths[rows], {k: v[rows] for k, v in self.latents.items()})

    def split(self, size: int) -> "Iterator[Sentences]":
        """Yields the sentences in order, `size` at a time."""
        for begin in range(0, len(self), size):
            yield self[begin : begin + size]

    def mask(self, hidden: Tensor, mask_id: int) -> "Batch":
        """The batch in which words are hidden and are to be predicted.

        Args:
            hidden: [n, T] bool, True where a word is hidden.
            mask_id: the token that replaces a hidden word.

        Returns:
            The batch; its predictions are in row-major order.
        """
        rows, positions = hidden.nonzero(as_tuple=True)
        return Batch(self.tokens.masked_fill(hidden, mask_id), rows, positions, self.tokens[rows, positions])

    def to(self, device: torch.device | str) -> "Sentences":
        """The same sentences on another device."""
        latents = {name: latent.to(device) for name, latent in self.latents.items()}
        return replace(self, tokens=self.tokens.to(device), lengths=self.lengths.to(device), latents=latents)


@dataclass(frozen=True)
class Batch:
    """n sentences as a model reads them, and m predictions: the word targets[i] at (rows[i], positions[i]).

    With masking "one", m = n and rows is 0 .. n-1. For masking "next", see `batches.next_words`.

    Args:
        inputs: [n, T] tokens, mask_id at hidden positions and pad_id beyond the end.
        rows: [m], the sentence of each prediction.
        positions: [m], its position in the sentence.
        targets: [m], the word to predict.
    """

    inputs: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor

    def mean(self, values: Tensor) -> Estimate:
        """The mean of values [m], one for each prediction. Its standard error treats each sentence as one draw."""
        values = values.double()
        zeros = torch.zeros(len(self.inputs), dtype=torch.float64, device=values.device)
        rows = self.rows.to(values.device)
        return Estimate.from_ratio(zeros.index_add(0, rows, values), zeros.index_add(0, rows, torch.ones_like(values)))

    def select(self, rows: slice | Tensor) -> "tuple[Batch, Tensor]":
        """Some of the sentences with their predictions.

        Args:
            rows: a slice, or the indices of distinct sentences. The batch has the sentences in this order.

        Returns:
            The batch of these sentences, and the indices [m'] of the predictions that it keeps, in ascending order.
        """
        number = torch.full((len(self.inputs),), -1, device=self.rows.device)
        number[rows] = torch.arange(len(number[rows]), device=number.device)
        which = (number[self.rows] >= 0).nonzero()[:, 0]
        places = number[self.rows[which]], self.positions[which], self.targets[which]
        return Batch(self.inputs[rows], *places), which

    @classmethod
    def join(cls, batches: "Sequence[Batch]") -> "Batch":
        """One batch with the sentences of several batches of the same width."""
        begins = torch.tensor([0] + [len(some.inputs) for some in batches]).cumsum(0).tolist()
        rows = torch.cat([some.rows + begin for some, begin in zip(batches, begins, strict=False)])
        inputs, positions, targets = (
            torch.cat([getattr(some, name) for some in batches]) for name in ("inputs", "positions", "targets")
        )
        return cls(inputs, rows, positions, targets)


def as_integers(name: str, values: Any, device: torch.device | None = None) -> Tensor:
    """Integers of any width and byte order as int64.

    Args:
        name: the name of the values in the message.
        values: a tensor, an array or nested lists.
        device: the device of the result; None leaves a tensor on its device.

    Returns:
        The same numbers as an int64 tensor.

    Raises:
        InputError: for anything but integers.
    """
    if isinstance(values, Sentences):
        raise InputError(f"{name} are Sentences, expected their tokens; give sentences.{name}")
    if not isinstance(values, Tensor):
        try:
            array = np.asarray(values)
        except (ValueError, TypeError, OverflowError):
            raise InputError(f"{name} are not a table of integers, expected rows of equal length; pad them") from None
        if array.dtype.kind not in "iu" and array.size:
            raise InputError(f"{name} are {array.dtype}, expected integers; convert them")
        return torch.from_numpy(array.astype(np.int64)).to(device)
    if values.dtype not in INTEGERS:
        raise InputError(f"{name} are {values.dtype}, expected integers such as torch.int64; convert them")
    return values.to(device=device, dtype=torch.int64)
