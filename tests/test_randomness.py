"""Streams are pure functions of (seed, name, index)."""

import hashlib
import itertools

import pytest
import torch
from support.untouched import untouched

from satlab.randomness import STREAMS, WholeNumbers, derive_seed, random_stream


def draws(*key):
    return torch.rand(8, generator=random_stream(*key), dtype=torch.float64)


@pytest.mark.parametrize(("key", "text"), [((0, "init"), "0/init"), ((7, "batches", 3, 12), "7/batches/3/12")])
def test_seed_is_the_first_63_bits_of_the_hash(key, text):
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(text.encode()).digest())
    assert derive_seed(*key) == int(bits[:63], 2)


def test_seeds_stay_what_they_were():
    """Changing these numbers changes every result ever computed from a seed."""
    assert derive_seed(0, "init") == 1519069808562059438
    assert derive_seed(3, "batches", 250) == 3512744520549494086


def test_seeds_fit_a_generator_and_never_coincide():
    indices = [(), *itertools.product(range(12)), *itertools.product(range(12), repeat=2)]
    seeds = [derive_seed(seed, name, *index) for seed in range(-2, 24) for name in STREAMS for index in indices]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**63


def test_neighbouring_digits_do_not_run_together():
    assert len({derive_seed(1, "init", 23), derive_seed(1, "init", 2, 3), derive_seed(12, "init", 3)}) == 3


def test_same_key_gives_the_same_numbers_whatever_ran_before():
    first = draws(4, "probe", 2)
    torch.manual_seed(99)
    draws(4, "probe", 1)
    torch.rand(100)
    assert torch.equal(first, draws(4, "probe", 2))


@pytest.mark.parametrize(
    "other", [(5, "probe", 2), (4, "batches", 2), (4, "probe", 3), (4, "probe"), (4, "probe", 2, 0)]
)
def test_any_other_key_gives_other_numbers(other):
    assert not (draws(4, "probe", 2) == draws(*other)).any()


def test_global_state_is_neither_read_nor_changed():
    torch.manual_seed(1)
    with untouched():
        one = draws(0, "corpus")
    torch.manual_seed(2)
    assert torch.equal(one, draws(0, "corpus"))


def test_numpy_and_tensor_whole_numbers_give_the_same_stream():
    assert derive_seed(torch.tensor(3), "tasks", torch.tensor(5)) == derive_seed(3, "tasks", 5)


@pytest.mark.parametrize("name", ["", "Init", "init ", "batch", "evaluations"])
def test_a_name_nobody_knows_is_refused(name):
    with pytest.raises(ValueError, match=r"unknown random stream .*expected one of"):
        derive_seed(0, name)
    with pytest.raises(ValueError, match="unknown random stream"):
        random_stream(0, name, 1)


def test_neighbouring_streams_are_not_correlated():
    numbers = torch.stack([torch.randn(500, generator=random_stream(0, "batches", k)) for k in range(40)])
    correlation = torch.corrcoef(numbers) - torch.eye(40)
    # 780 pairs with deviation 1 / sqrt(500) = 0.045 each.
    assert correlation.abs().max() < 5 * 500**-0.5


@pytest.mark.parametrize("bound", [1, 2, 7, 1000, 12_345_678])
def test_whole_numbers_are_those_of_torch(bound):
    """Across several draws from one stream: intervals computed by either are equal to the last bit."""
    ours, theirs = WholeNumbers(7, "bootstrap", 3), random_stream(7, "bootstrap", 3)
    for shape in ((5,), (400, 9), (1, 1)):
        drawn = torch.randint(bound, shape, generator=theirs).numpy()
        assert ours.below(bound, shape).tolist() == drawn.tolist()
