"""Random probability tables and distinct random numbers, drawn with a torch generator on the CPU."""

import math

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

LARGEST_TABLE = 2**27
"""The largest number of entries of a random table (1 GiB of float64)."""

LARGEST_SHUFFLE = 2**20
"""Distinct numbers below at most this total come from a shuffle. For larger totals, repeated numbers are redrawn."""


def dirichlet(rows: int, columns: int, concentration: float, generator: torch.Generator) -> Tensor:
    """Independent draws from the symmetric Dirichlet distribution.

    Args:
        rows: the number of draws.
        columns: the number of categories.
        concentration: the parameter of each category.
        generator: on the CPU.

    Returns:
        [rows, columns] float64.

    Raises:
        InputError: for a concentration outside 0 to 1e9, and for a table that is too large.
    """
    if not 0 < concentration <= 1e9:
        raise InputError(f"Dirichlet concentration {concentration}: expected a number above 0, at most 1e9; correct it")
    check_size(rows, columns)
    source = np.random.Generator(np.random.PCG64(int(torch.randint(2**62, (), generator=generator))))
    return torch.from_numpy(source.dirichlet([concentration] * columns, size=rows))


def zipf_weights(columns: int, exponent: float) -> Tensor:
    """rank^-exponent / sum over all ranks, for the ranks 1, 2, ... (Zipf 1949).

    Args:
        columns: the number of ranks.
        exponent: the exponent; 0 gives equal weights.

    Returns:
        [columns] float64.

    Raises:
        InputError: for an exponent that is negative or not finite.
    """
    if not 0 <= exponent < math.inf:
        raise InputError(f"zipf is {exponent}, expected a finite exponent of at least 0; correct it")
    return (-exponent * torch.arange(1, columns + 1, dtype=torch.float64).log()).softmax(0)


def tempered(rows: Tensor, temperature: float) -> Tensor:
    """p^(1/temperature), with each row renormalised. Zeros stay zeros.

    At temperature 1, the result is bit-identical. As the temperature approaches 0, the likeliest entry gets all the
    mass; as it grows, all possible entries become equally likely.

    Args:
        rows: probabilities [R, C].
        temperature: above 0.

    Returns:
        [R, C].

    Raises:
        InputError: for a temperature that is not positive and finite.
    """
    if not 0 < temperature < math.inf:
        raise InputError(f"temperature is {temperature}, expected a positive finite number; correct it")
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
    """Random probabilities of words, one row for each symbol or state.

    The random draws do not depend on the temperature, so for a given seed each entry is a continuous function of the
    temperature.

    Args:
        rows: the number of symbols or states.
        columns: the number of words.
        generator: on the CPU.
        concentration: the parameter of the rows' Dirichlet distribution.
        zipf: if given, p(word of rank r) is instead proportional to r^-zipf, with a random ranking for each row.
        temperature: the temperature by which the rows are finally `tempered`.

    Returns:
        [rows, columns] float64.

    Raises:
        InputError: as `dirichlet`, `zipf_weights` and `tempered`, and for a table that is too large.
    """
    if zipf is None:
        return tempered(dirichlet(rows, columns, concentration, generator), temperature)
    check_size(rows, columns)
    weights = zipf_weights(columns, zipf)
    rankings = [torch.randperm(columns, generator=generator) for _ in range(rows)]
    return tempered(torch.stack([weights[ranking] for ranking in rankings]), temperature)


def distinct(count: int, total: int, generator: torch.Generator) -> Tensor:
    """Distinct random integers in 0 .. total - 1, uniform among all such sequences.

    Args:
        count: the length of the sequence; at most total.
        total: the number of integers to draw from; below 2^62.
        generator: on the CPU.

    Returns:
        [count] int64.
    """
    if total <= max(LARGEST_SHUFFLE, 2 * count):
        return torch.randperm(total, generator=generator)[:count]
    seen: dict[int, None] = {}
    while len(seen) < count:
        seen.update(dict.fromkeys(torch.randint(total, (count - len(seen),), generator=generator).tolist()))
    return torch.tensor(list(seen), dtype=torch.long)


def softmax_rows(rows: int, columns: int, temperature: float, generator: torch.Generator) -> Tensor:
    """Independent draws of softmax(u / temperature), where each entry of u is uniform on [0, 1].

    Args:
        rows: the number of draws.
        columns: the number of entries of each draw.
        temperature: above 0.
        generator: on the CPU.

    Returns:
        [rows, columns] float64.

    Raises:
        InputError: for a table that is too large.
    """
    check_size(rows, columns)
    uniform = torch.rand(rows, columns, generator=generator, dtype=torch.float64)
    return torch.softmax(uniform / temperature, 1)


def permutation_mixture(size: int, permutations: int, temperature: float, generator: torch.Generator) -> Tensor:
    """sum_i w_i P_i, where P_i are random permutation matrices and w = softmax(u / temperature), u uniform on [0, 1].

    Rows and columns sum to one. The lower the temperature, the closer the sum is to a single permutation.

    Args:
        size: the size of the matrices.
        permutations: the number of matrices.
        temperature: above 0.
        generator: on the CPU.

    Returns:
        [size, size] float64.

    Raises:
        InputError: for a table that is too large.
    """
    check_size(size, size)
    weights = softmax_rows(1, permutations, temperature, generator)[0]
    mixture = torch.zeros(size, size, dtype=torch.float64)
    for weight in weights:
        mixture[torch.arange(size), torch.randperm(size, generator=generator)] += weight
    return mixture


def covers(slots: int, kinds: int) -> bool:
    """Whether uniform draws hit every kind with a probability of more than about 1 in 10,000.

    The number of missed kinds is approximately Poisson with mean kinds (1 - 1/kinds)^slots.

    Args:
        slots: the number of draws.
        kinds: the number of kinds.

    Returns:
        Whether it is worth trying.
    """
    return slots >= kinds and (kinds == 1 or kinds * math.exp(slots * math.log1p(-1 / kinds)) < -math.log(1e-4))


def check_size(rows: int, columns: int) -> None:
    """Checks the size of a random table.

    Args:
        rows: the number of rows.
        columns: the number of columns.

    Raises:
        InputError: for more than LARGEST_TABLE entries.
    """
    if rows * columns > LARGEST_TABLE:
        raise InputError(
            f"a random table of {rows} x {columns} probabilities, expected at most {LARGEST_TABLE}; ask for fewer"
        )
