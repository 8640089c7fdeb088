"""Named random streams derived from one seed. Nothing in satlab touches a global random state.

A stream is a pure function of (seed, name, index): the batch of step k is the same whatever ran before it, on however
many workers. The bits depend on the kind of device too, since torch's CPU and CUDA generators differ.
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
        seed: of the run.
        name: of the stream.
        *index: which of its parts, such as the step.

    Returns:
        The seed of the stream.

    Raises:
        InputError: for a stream that is not in STREAMS, since a mistyped name would otherwise be a silent new stream,
            and for a seed or an index that is no whole number.
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
    """The whole numbers that `torch.randint` draws from `random_stream` on a CPU, drawn without importing torch.

    Both take one 32-bit number x of the Mersenne twister for each number below b, x mod b.

    Args:
        seed: of the run.
        name: of the stream.
        *index: which of its parts.
    """

    def __init__(self, seed: int, name: str, *index: int) -> None:
        from numpy.random import RandomState

        # torch seeds the twister with the low 32 bits.
        self.twister = RandomState(derive_seed(seed, name, *index) % 2**32)

    def below(self, bound: int, shape: tuple[int, ...]) -> "NDArray[np.int64]":
        """Draws numbers in 0 .. bound - 1, bound < 2^28, as an array of this shape."""
        drawn = self.twister.randint(0, 2**32, size=shape, dtype="uint32") % bound
        return drawn.astype("int64")
