"""A random Gaussian projection of a linear probe's features, which limits the probe's capacity as published."""

import torch
from torch import Tensor

from ..errors import InputError
from ..randomness import random_stream


class GaussianProjection:
    """x [n, d] -> x P [n, e] with independent entries P_ij ~ N(0, 1/e), so that E ||x P||^2 = ||x||^2.

    P is a function of (seed, repeat, d) alone.

    Args:
        size: the width e.
        seed: the seed of the measurement.
        repeat: the number of the repeat.

    Source: Liu et al. 2022, 2210.14199, A.4, with e = 512; the paper does not give the variance.
    """

    def __init__(self, size: int, seed: int, repeat: int = 0) -> None:
        self.size, self.seed, self.repeat = size, seed, repeat
        self.matrices: dict[int, Tensor] = {}

    def __call__(self, features: Tensor) -> Tensor:
        """x P [n, e] of features x [n, d]."""
        width = features.shape[1]
        if width not in self.matrices:
            generator = random_stream(self.seed, "probe", self.repeat, PROJECTION, width)
            matrix = torch.randn(width, self.size, generator=generator) * self.size**-0.5
            self.matrices[width] = matrix.to(features)
        return features @ self.matrices[width]


def check_projection(size: int | None, width: int, name: str) -> None:
    """Checks that a projection is narrower than the features.

    Args:
        size: width of the projection; None for no projection.
        width: number of features.
        name: the name of the model.

    Raises:
        InputError: if it is not.
    """
    if size is not None and size >= width:
        raise InputError(
            f"projection is {size}, expected less than the {width} features that a probe of {name} reads; "
            "give a smaller one, or leave it out"
        )


PROJECTION, HEAD, TUNING, REDRAW = 1, 2, 3, 4
"""Names of the random streams (seed, "probe", repeat, name); (seed, "probe", repeat) itself draws the sentences."""
