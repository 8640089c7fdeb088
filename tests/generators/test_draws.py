"""Random tables of words and distinct numbers: the laws they follow, exactly, and what is refused."""

import math
from collections import Counter

import pytest
import torch
from support.words import assert_frequencies, generator

from satlab.errors import InputError
from satlab.generators.families import draws
from satlab.generators.families.draws import covers, dirichlet, distinct, emissions, tempered, zipf_weights

EXACT = {"rtol": 1e-12, "atol": 0}


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.5])
def test_zipf_weights(exponent):
    expected = [rank**-exponent for rank in range(1, 8)]
    expected = torch.tensor(expected, dtype=torch.float64) / math.fsum(expected)
    torch.testing.assert_close(zipf_weights(7, exponent), expected, **EXACT)


def test_each_row_has_zipfs_law_over_a_ranking_of_its_own():
    rows = emissions(200, 3, generator(1), zipf=1.0)
    torch.testing.assert_close(rows.sort(1, descending=True).values, zipf_weights(3, 1.0).expand(200, 3), **EXACT)
    rankings = Counter(map(tuple, rows.argsort(1).tolist()))
    assert_frequencies(list(rankings.elements()), dict.fromkeys(rankings, 1 / 6))


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0, 30.0])
def test_tempered(temperature):
    """p^(1/temperature) / sum, and the words keep their order."""
    rows = dirichlet(4, 6, 1.0, generator(2))
    powers = [[p ** (1 / temperature) for p in row] for row in rows.tolist()]
    expected = torch.tensor([[p / math.fsum(row) for p in row] for row in powers], dtype=torch.float64)
    torch.testing.assert_close(tempered(rows, temperature), expected, rtol=1e-10, atol=0)
    assert torch.equal(tempered(rows, temperature).argsort(1), rows.argsort(1))


def test_tempered_keeps_zeros_and_at_one_every_bit():
    rows = torch.tensor([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0]], dtype=torch.float64)
    assert tempered(rows, 1) is rows
    assert torch.equal(tempered(rows, 3.0) == 0, rows == 0)
    assert torch.equal(tempered(rows, 1e-9), torch.tensor([[0, 0, 1], [1, 0, 0]], dtype=torch.float64))
    torch.testing.assert_close(
        tempered(rows, 1e9)[0], torch.tensor([0, 0.5, 0.5], dtype=torch.float64), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("zipf", [None, 1.2])
def test_the_draws_do_not_depend_on_the_temperature(zipf):
    plain, warm = (emissions(3, 5, generator(3), 0.4, zipf, temperature) for temperature in (1.0, 1.7))
    torch.testing.assert_close(warm, tempered(plain, 1.7), **EXACT)


@pytest.mark.parametrize("shuffled", [True, False])
def test_distinct_numbers(monkeypatch, shuffled):
    """Every ordered pair out of four numbers, equally often, by either method."""
    monkeypatch.setattr(draws, "LARGEST_SHUFFLE", 100 if shuffled else 0)
    random = generator(4)
    pairs = [tuple(distinct(2, 5, random).tolist()) for _ in range(4000)]
    expected = {(a, b): 1 / 20 for a in range(5) for b in range(5) if a != b}
    assert_frequencies(pairs, expected)
    many = distinct(700, 10**15, random)
    assert len(many.unique()) == 700
    assert int(many.max()) > 2**48


def test_when_all_kinds_can_be_expected():
    """Against the share of samples that hold every kind: one in 10,000 is where hope ends."""
    assert covers(1, 1)
    assert not covers(7, 8)
    assert not covers(100, 60)
    for slots, kinds in ((16, 8), (80, 40)):
        drawn = torch.randint(kinds, (20_000, slots), generator=generator(6))
        share = sum(len(set(row)) == kinds for row in drawn.tolist()) / 20_000
        assert covers(slots, kinds) == (share > 1e-4)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: dirichlet(2, 2, 0.0, generator()), "concentration 0.0: expected a number above 0"),
        (lambda: dirichlet(2, 2, math.inf, generator()), "concentration inf"),
        (lambda: dirichlet(2, 2, math.nan, generator()), "concentration nan"),
        (lambda: dirichlet(10**6, 10**6, 1.0, generator()), "1000000 x 1000000 probabilities"),
        (lambda: emissions(10**6, 10**6, generator(), zipf=1.0), "1000000 x 1000000 probabilities"),
        (lambda: emissions(2, 2, generator(), zipf=-0.5), "zipf is -0.5, expected a finite exponent of at least 0"),
        (lambda: emissions(2, 2, generator(), zipf=math.inf), "zipf is inf"),
        (
            lambda: emissions(2, 2, generator(), temperature=0.0),
            "temperature is 0.0, expected a positive finite number",
        ),
        (lambda: emissions(2, 2, generator(), temperature=-1.0), "temperature is -1.0"),
        (lambda: emissions(2, 2, generator(), temperature=math.inf), "temperature is inf"),
    ],
)
def test_what_is_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()
