"""Random probability tables and distinct numbers, from the CPU randomness of a torch generator."""

import math

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

LARGEST_TABLE = 2**27
"""Entries of a random table (1 GiB of float64)."""

LARGEST_SHUFFLE = 2**20
"""Below this, distinct numbers are the head of a shuffle; above it, numbers that came up before are drawn again."""


def dirichlet(rows: int, columns: int, concentration: float, generator: torch.Generator) -> Tensor:
    """rows independent draws [rows, columns] from the symmetric Dirichlet distribution, float64, from CPU randomness.

    Raises InputError for a concentration that is not between 0 and 1e9 and for a table that is too large.
    """
    if not 0 < concentration <= 1e9:
        raise InputError(f"Dirichlet concentration {concentration}: expected a number above 0, at most 1e9; correct it")
    check_size(rows, columns)
    source = np.random.Generator(np.random.PCG64(int(torch.randint(2**62, (), generator=generator))))
    return torch.from_numpy(source.dirichlet([concentration] * columns, size=rows))


def zipf_weights(columns: int, exponent: float) -> Tensor:
    """[columns] float64: rank^-exponent / sum over all ranks, for the ranks 1, 2, ... (Zipf 1949).

    Raises InputError unless 0 <= exponent < inf.
    """
    if not 0 <= exponent < math.inf:
        raise InputError(f"zipf is {exponent}, expected an exponent of at least 0; correct it")
    return (-exponent * torch.arange(1, columns + 1, dtype=torch.float64).log()).softmax(0)


def tempered(rows: Tensor, temperature: float) -> Tensor:
    """p^(1/temperature), renormalised, for each row of probabilities [R, C]; zeros stay zeros.

    At 1 no bit changes; towards 0 the likeliest entry takes all, towards infinity all possible entries become alike.

    Raises InputError for a temperature that is not positive and finite.
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature is {temperature}, expected a positive number; correct it")
    if temperature == 1:
        return rows
    log_p = rows.log()
    return ((log_p - log_p.amax(1, keepdim=True)) / temperature).softmax(1)


def emissions(
    rows: int,
    columns: int,
    generator: torch.Generator,
    concentration: float = 1.0,
    zipf: float | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Random probabilities of words [rows, columns] float64, a row for each symbol or state.

    Dirichlet(concentration); or, where zipf is given, p(word of rank r) proportional to r^-zipf, each row with its own
    ranking, uniform among all. Either is then `tempered`. The draws do not depend on the temperature, so at one seed
    every entry is a continuous function of it.

    Raises InputError as `dirichlet`, `zipf_weights` and `tempered` do, and for a table that is too large.
    """
    if zipf is None:
        return tempered(dirichlet(rows, columns, concentration, generator), temperature)
    check_size(rows, columns)
    weights = zipf_weights(columns, zipf)
    rankings = [torch.randperm(columns, generator=generator) for _ in range(rows)]
    return tempered(torch.stack([weights[ranking] for ranking in rankings]), temperature)


def distinct(count: int, total: int, generator: torch.Generator) -> Tensor:
    """count different numbers below total, int64, in random order: uniform among all such sequences.

    Needs count <= total < 2^62.
    """
    if total <= max(LARGEST_SHUFFLE, 2 * count):
        return torch.randperm(total, generator=generator)[:count]
    seen: dict[int, None] = {}
    while len(seen) < count:
        seen.update(dict.fromkeys(torch.randint(total, (count - len(seen),), generator=generator).tolist()))
    return torch.tensor(list(seen), dtype=torch.long)


def softmax_rows(rows: int, columns: int, temperature: float, generator: torch.Generator) -> Tensor:
    """rows independent draws [rows, columns] of softmax(u / temperature), float64, each u uniform on [0, 1].

    Raises InputError for a table that is too large.
    """
    check_size(rows, columns)
    uniform = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    return torch.softmax(uniform / temperature, 1)


def permutation_mixture(size: int, permutations: int, temperature: float, generator: torch.Generator) -> Tensor:
    """sum_i w_i P_i [size, size] float64: random permutation matrices P_i with the weights softmax(u / temperature).

    Its rows and its columns sum to one. The lower the temperature, the nearer it is to a single permutation. Raises
    InputError for a table that is too large.
    """
    check_size(size, size)
    weights = softmax_rows(1, permutations, temperature, generator)[0]
    mixture = torch.zeros(size, size, dtype=torch.float64)
    for weight in weights:
        mixture[torch.arange(size), torch.randperm(size, generator=generator)] += weight
    return mixture


def covers(slots: int, kinds: int) -> bool:
    """Whether so many uniform draws have a fair chance, 1 in 10,000, to come upon every one of the kinds.

    The number of kinds that are missed is about Poisson, of mean kinds (1 - 1/kinds)^slots.
    """
    return slots >= kinds and (kinds == 1 or kinds * math.exp(slots * math.log1p(-1 / kinds)) < -math.log(1e-4))


def check_size(rows: int, columns: int) -> None:
    """Raises InputError where rows x columns entries are more than LARGEST_TABLE."""
    if rows * columns > LARGEST_TABLE:
        raise InputError(
            f"a random table of {rows} x {columns} probabilities, expected at most {LARGEST_TABLE}: ask for fewer"
        )
