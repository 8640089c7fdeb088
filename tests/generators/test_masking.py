"""Which positions are hidden: how many, where, and never in the padding."""

import math

import pytest
import torch
from support.words import assert_frequencies, generator

from satlab.errors import InputError
from satlab.generators.masking import hide, read_masking


def test_one_hides_one_position_uniformly_within_the_length():
    lengths = torch.tensor([1, 2, 5, 7]).repeat(20_000)
    hidden = hide(lengths, 7, "one", generator())
    assert hidden.sum(1).unique().tolist() == [1]
    position = hidden.int().argmax(1)
    assert set(position[lengths == 1].tolist()) == {0}
    for length in (2, 5, 7):
        assert_frequencies(position[lengths == length].tolist(), dict.fromkeys(range(length), 1 / length))


@pytest.mark.parametrize(("masking", "rate"), [("bernoulli", 0.15), ("bernoulli:0.4", 0.4)])
def test_bernoulli_hides_every_position_alike_and_never_padding(masking, rate):
    lengths = torch.tensor([1, 3, 6]).repeat(20_000)
    hidden = hide(lengths, 6, masking, generator(1))
    assert hidden.shape == (60_000, 6)
    for length in (1, 3, 6):
        rows = hidden[lengths == length]
        assert not bool(rows[:, length:].any())
        for t in range(length):
            assert_frequencies(rows[:, t].tolist(), {True: rate, False: 1 - rate})
    sizes = hidden[lengths == 6].sum(1).tolist()
    assert_frequencies(sizes, {k: math.comb(6, k) * rate**k * (1 - rate) ** (6 - k) for k in range(7)})


def test_bernoulli_with_rate_one_hides_every_word():
    lengths = torch.tensor([1, 4])
    assert hide(lengths, 4, "bernoulli:1", generator()).sum(1).tolist() == [1, 4]


@pytest.mark.parametrize("masking", ["on", "two", "", "one:0.5", "bernouli:0.2", "Bernoulli"])
def test_unknown_masking(masking):
    with pytest.raises(InputError, match="unknown masking"):
        hide(torch.tensor([3]), 3, masking, generator())


def test_unknown_masking_offers_the_nearest():
    with pytest.raises(InputError, match="did you mean 'bernoulli'"):
        hide(torch.tensor([3]), 3, "bernouli", generator())


@pytest.mark.parametrize("rate", ["", "0", "-0.1", "1.5", "nan", "inf", "x"])
def test_impossible_rate(rate):
    with pytest.raises(InputError, match=f"masking 'bernoulli:{rate}': expected bernoulli:p with 0 < p <= 1"):
        hide(torch.tensor([3]), 3, f"bernoulli:{rate}", generator())


def test_next_hides_nothing():
    with pytest.raises(InputError, match="masking 'next' hides no word, expected one or bernoulli:p"):
        hide(torch.tensor([3]), 3, "next", generator())


def test_what_a_masking_says():
    assert [read_masking(name) for name in ("one", "next", "bernoulli", "bernoulli:0.4")] == [
        ("one", 0.15),
        ("next", 0.15),
        ("bernoulli", 0.15),
        ("bernoulli", 0.4),
    ]
    for name in ("next:0.5", "one:", "nxt"):
        with pytest.raises(InputError, match="unknown masking"):
            read_masking(name)
