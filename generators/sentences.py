"""What sampling gives: words, lengths and the latent variables that made them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

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

    def to(self, device: torch.device | str) -> "Sentences":
        latents = {name: latent.to(device) for name, latent in self.latents.items()}
        return replace(self, tokens=self.tokens.to(device), lengths=self.lengths.to(device), latents=latents)


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
