"""Named random streams derived from one seed. Nothing in satlab touches a global random state.

A stream is a pure function of (seed, name, index). The batch of step k therefore depends neither on what ran before it
nor on the number of workers. The bits do depend on the kind of device, because torch's CPU and CUDA generators differ.
"""

import hashlib
from typing import TYPE_CHECKING

from .errors import InputError, whole_number

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

STREAMS = (
    "language",
    "corpus",
    "init",
    "batches",
    "epochs",
    "dropout",
    "adversary",
    "evaluation",
    "measurement",
    "probe",
    "flatness",
    "floor",
    "tasks",
    "bootstrap",
    "theory",
    "phase",
)


def derive_seed(seed: int, name: str, *index: int) -> int:
    """The first 63 bits of SHA-256 of "seed/name/index/...".

    Args:
        seed: the seed of the run.
        name: the name of the stream.
        *index: the part of the stream, such as the training step.

    Returns:
        The seed of the stream.

    Raises:
        InputError: for a name that is not in STREAMS, because a typing error would silently start another stream, and
            for a seed or an index that is not an integer.
    """
    if name not in STREAMS:
        raise InputError(
            f"unknown random stream {name!r:.80}, expected one of {', '.join(STREAMS)}; choose one of these"
        )
    numbers = [whole_number("seed", seed), *(whole_number(f"index of stream {name}", i) for i in index)]
    key = "/".join([str(numbers[0]), name, *map(str, numbers[1:])])
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def random_stream(seed: int, name: str, *index: int, device: "torch.device | str" = "cpu") -> "torch.Generator":
    """A torch.Generator on `device`, seeded with derive_seed(seed, name, *index)."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, name, *index))


class WholeNumbers:
    """Draws the integers that `torch.randint` draws from `random_stream` on a CPU, without importing torch.

    For each integer below b, both take one 32-bit output x of the Mersenne twister and return x mod b.

    Args:
        seed: the seed of the run.
        name: the name of the stream.
        *index: the part of the stream.
    """

    def __init__(self, seed: int, name: str, *index: int) -> None:
        from numpy.random import RandomState

        # torch seeds the twister with the low 32 bits of the seed.
        self.twister = RandomState(derive_seed(seed, name, *index) % 2**32)

    def below(self, bound: int, shape: tuple[int, ...]) -> "NDArray[np.int64]":
        """Draws integers in 0 .. bound - 1, for bound < 2^28, as an array of this shape."""
        drawn = self.twister.randint(0, 2**32, size=shape, dtype="uint32") % bound
        return drawn.astype("int64")
