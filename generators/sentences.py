"""What sampling gives: words, lengths and the latent variables that made them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sentences:
    """tokens [n, T] int64, padded with the language's pad_id; lengths [n]; latents: name -> [n, ...], as sampled."""

    tokens: Tensor
    lengths: Tensor
    latents: Mapping[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: slice | Tensor) -> "Sentences":
        return Sentences(self.tokens[rows], self.lengths[rows], {k: v[rows] for k, v in self.latents.items()})

    def to(self, device: torch.device | str) -> "Sentences":
        latents = {name: latent.to(device) for name, latent in self.latents.items()}
        return replace(self, tokens=self.tokens.to(device), lengths=self.lengths.to(device), latents=latents)
