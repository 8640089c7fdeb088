"""Random probability tables, from the CPU randomness of a torch generator."""

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError


def dirichlet(rows: int, columns: int, concentration: float, generator: torch.Generator) -> Tensor:
    """rows independent draws [rows, columns] from the symmetric Dirichlet distribution, float64, from CPU randomness.

    Raises InputError for a concentration that is not positive.
    """
    if not concentration > 0:
        raise InputError(f"Dirichlet concentration {concentration}: expected a positive number")
    source = np.random.Generator(np.random.PCG64(int(torch.randint(2**62, (), generator=generator))))
    return torch.from_numpy(source.dirichlet([concentration] * columns, size=rows))
