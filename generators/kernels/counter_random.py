"""Random numbers for compiled samplers. Each is a function of (key, row, draw), so threads do not change it."""

import numpy as np
import torch

from .jit import compiled

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST, SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
"""The constants of SplitMix64 (Steele, Lea and Flood 2014)."""


def draw_key(generator: torch.Generator) -> np.ndarray:
    """Draws a key of two 64-bit integers, [2] uint64, from a torch generator on the CPU."""
    return torch.randint(-(2**63), 2**63 - 1, (2,), generator=generator).numpy().view(np.uint64)


@compiled
def _mixed(x: np.uint64) -> np.uint64:
    """A hash of 64 bits: the mixing function of SplitMix64."""
    x = (x ^ (x >> np.uint64(30))) * FIRST
    x = (x ^ (x >> np.uint64(27))) * SECOND
    return x ^ (x >> np.uint64(31))


@compiled
def uniform(key: np.ndarray, row: int, draw: int) -> float:
    """A uniform random number in [0, 1), as a function of the key [2], the row and the index of the draw."""
    counter = (np.uint64(row) << np.uint64(32)) | np.uint64(draw)
    bits = _mixed(_mixed(key[0] + counter * GOLDEN) ^ key[1])
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@compiled
def find(cumulative: np.ndarray, share: float) -> int:
    """The first entry whose cumulative weight exceeds share * total; never an entry of weight zero."""
    target = share * cumulative[-1]
    entry: int = np.searchsorted(cumulative, target, side="right")
    while entry >= len(cumulative) or (entry > 0 and cumulative[entry] == cumulative[entry - 1]):
        entry -= 1
    return entry
