"""Estimate against numpy and against simulation."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from satlab.estimate import ONE_SIDED_95, Estimate


def clusters(rng, n):
    """Cluster counts 1-6 and sums that depend on them, with E s / E c = 2."""
    counts = rng.integers(1, 7, size=n).astype(float)
    shared = rng.normal(size=n)
    return counts * (2 + shared * 0.5) + rng.normal(size=n) * np.sqrt(counts), counts


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_mean_and_standard_error_are_numpys(n):
    samples = np.random.default_rng(n).gamma(2.0, size=n)
    estimate = Estimate.from_samples(torch.from_numpy(samples))
    assert estimate.n == n
    assert estimate.value == pytest.approx(samples.mean(), rel=1e-14)
    assert estimate.stderr == pytest.approx(samples.std(ddof=1) / math.sqrt(n), rel=1e-12)


def test_small_deviations_around_a_large_float32_mean_survive():
    samples = 2.0**20 + torch.arange(16, dtype=torch.float32) / 8
    reference = samples.double().numpy()
    estimate = Estimate.from_samples(samples)
    assert estimate.value == reference.mean()
    assert estimate.stderr == pytest.approx(reference.std(ddof=1) / 4, rel=1e-12)


def test_a_million_float32_samples_do_not_lose_their_sum():
    samples = torch.full((1_000_000,), 0.1, dtype=torch.float32)
    estimate = Estimate.from_samples(samples)
    assert estimate.value == pytest.approx(float(samples[0]), rel=1e-12)
    assert estimate.stderr == pytest.approx(0.0, abs=1e-12)


def test_samples_may_be_whole_numbers_and_may_carry_a_graph():
    assert Estimate.from_samples(torch.tensor([1, 2, 6])).value == 3.0
    tracked = torch.tensor([[1.0, 2.0], [3.0, 6.0]], requires_grad=True)
    assert Estimate.from_samples(tracked).n == 4
    assert Estimate.from_samples(tracked).value == 3.0


def test_one_sample_has_no_standard_error_and_none_has_no_value():
    one = Estimate.from_samples(torch.tensor([4.0]))
    assert (one.value, one.n) == (4.0, 1)
    assert math.isnan(one.stderr)
    assert math.isnan(one.upper95)
    none = Estimate.from_samples(torch.tensor([]))
    assert (math.isnan(none.value), math.isnan(none.stderr), none.n) == (True, True, 0)


def test_ratio_without_any_count_has_no_value():
    alone = Estimate.from_ratio(torch.tensor([0.0, 6.0, 0.0]), torch.tensor([0.0, 2.0, 0.0]))
    assert (alone.value, math.isnan(alone.stderr), alone.n) == (3.0, True, 3)
    estimate = Estimate.from_ratio(torch.zeros(3), torch.zeros(3))
    assert (math.isnan(estimate.value), math.isnan(estimate.stderr), estimate.n) == (True, True, 3)


def test_ratio_is_total_over_total_and_scales():
    sums, counts = (torch.from_numpy(a) for a in clusters(np.random.default_rng(0), 200))
    estimate = Estimate.from_ratio(sums, counts)
    assert estimate.value == pytest.approx(math.fsum(sums.tolist()) / math.fsum(counts.tolist()), rel=1e-13)
    scaled = Estimate.from_ratio(3 * sums, 5 * counts)
    assert scaled.value == pytest.approx(0.6 * estimate.value, rel=1e-13)
    assert scaled.stderr == pytest.approx(0.6 * estimate.stderr, rel=1e-12)


def test_ratio_of_sums_that_follow_their_counts_has_no_error():
    counts = torch.tensor([1.0, 4.0, 2.0, 0.0, 7.0])
    estimate = Estimate.from_ratio(3 * counts, counts)
    assert (estimate.value, estimate.stderr, estimate.n) == (3.0, 0.0, 5)


def test_equal_counts_give_the_plain_mean():
    sums = torch.tensor([1.0, 5.0, 3.0, 2.0], dtype=torch.float64)
    ratio = Estimate.from_ratio(4 * sums, torch.full((4,), 4.0))
    plain = Estimate.from_samples(sums)
    assert ratio.value == pytest.approx(plain.value, rel=1e-14)
    assert ratio.stderr == pytest.approx(plain.stderr, rel=1e-12)


def test_standard_error_of_a_ratio_is_its_deviation_over_repetitions():
    rng = np.random.default_rng(1)
    estimates = [Estimate.from_ratio(*(torch.from_numpy(a) for a in clusters(rng, 100))) for _ in range(3000)]
    values, errors = np.array([e.value for e in estimates]), np.array([e.stderr for e in estimates])
    # The relative deviation of a standard deviation from 3,000 draws is 1 / sqrt(6000) = 1.3 %.
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.05)
    assert abs(values.mean() - 2) < 4 * values.std(ddof=1) / math.sqrt(3000) + 1e-3


def test_standard_error_sees_that_words_of_a_sentence_are_alike():
    rng = np.random.default_rng(2)
    sums, counts = clusters(rng, 5000)
    clustered = Estimate.from_ratio(torch.from_numpy(sums), torch.from_numpy(counts))
    # s - 2 c has variance E c^2 / 4 + E c = 91 / 24 + 3.5; words taken as independent would have 1.25 each.
    assert clustered.stderr == pytest.approx(math.sqrt((91 / 24 + 3.5) / 5000) / 3.5, rel=0.05)
    assert clustered.stderr > 1.2 * math.sqrt(1.25 / counts.sum())


def test_upper_end_covers_the_truth_19_times_in_20():
    assert pytest.approx(norm.ppf(0.95), abs=1e-14) == ONE_SIDED_95
    estimate = Estimate(2.0, 0.5, 9)
    assert estimate.upper95 == pytest.approx(2 + 0.5 * norm.ppf(0.95), rel=1e-14)
    rng = np.random.default_rng(3)
    covered = [Estimate.from_samples(torch.from_numpy(rng.normal(size=200))).upper95 > 0 for _ in range(4000)]
    assert abs(np.mean(covered) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000) + 0.002


def test_an_exact_number_has_the_interval_of_a_point():
    assert Estimate(0.25, 0.0, 7).upper95 == 0.25


def test_text_shows_value_error_and_number():
    assert str(Estimate(1.2345678, 0.01234, 50)) == "1.23457 +- 0.012 (n=50)"


def test_an_estimate_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Estimate(1.0, 0.1, 3).value = 2.0
