"""The running mean of KL on training batches: its value, its error, and that it calls for rows of metrics."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from support.training import check_same, folders, interrupted, session, short, trainer

from satlab.errors import InputError
from satlab.generators.batches import evaluation_set
from satlab.train import TrainConfig, kl_to_truth
from satlab.train.running_kl import WINDOW, RunningKL

EXACT = {"targets": "exact", "lr": 0.03, "threshold": 0.5, "evaluation_sentences": 40, "warmup": 0.02}


def test_mean_and_error_are_those_of_the_weighted_sample():
    values = np.random.default_rng(1).normal(0.3, 0.1, 50)
    mean = RunningKL(torch.device("cpu"))
    assert (mean.value, mean.stderr, mean.state) == (None, None, [])
    assert not mean.below(1e9)
    for count, value in enumerate(values, start=1):
        mean.add(torch.tensor(value))
        weights = (1 - 1 / WINDOW) ** np.arange(count)[::-1]
        weights /= weights.sum()
        expected = weights @ values[:count]
        assert mean.value == pytest.approx(expected, rel=1e-12)
        if count > 1:
            square = (weights**2).sum()
            error = np.sqrt(weights @ (values[:count] - expected) ** 2 * square / (1 - square))
            assert mean.stderr == pytest.approx(error, rel=1e-9)
            assert mean.below(expected + 1.65 * error)
            assert not mean.below(expected + 1.64 * error)
        mean = RunningKL(torch.device("cpu"), mean.state)


@pytest.mark.slow
def test_the_error_covers_independent_values():
    generator = torch.Generator().manual_seed(0)
    away = []
    for _ in range(400):
        mean = RunningKL(torch.device("cpu"))
        for value in torch.randn(100, generator=generator, dtype=torch.float64):
            mean.add(value)
        away.append(mean.value / mean.stderr)
    assert np.mean(np.abs(away) < 2) == pytest.approx(0.945, abs=0.03)


def test_a_model_at_rest_has_the_same_kl_on_its_batches(tmp_path):
    made = trainer("bert-1x8", short(targets="exact", lr=1e-12, steps=100, batch_size=64, checkpoints=[]), tmp_path)
    row = list(made.rows())[-1]
    held_out = kl_to_truth(made.model, evaluation_set(made.language, 4000, 5))
    error = (row.train_kl_stderr**2 + held_out.stderr**2) ** 0.5
    assert row.train_kl_stderr < 0.03 * row.train_kl
    assert abs(row.train_kl - held_out.value) < 4 * error


def test_without_exact_targets_there_is_none(tmp_path):
    row = session(tmp_path, "bert-1x8", short(steps=3))[-1]
    assert (row["train_kl"], row["train_kl_stderr"]) == (None, None)


def test_a_row_comes_as_soon_as_the_batches_say_saturated(tmp_path):
    config = short(**EXACT, steps=400, evaluate_every=400, stop_at_saturation=True, checkpoints=[400], resume_every=500)
    rows = session(tmp_path, "bert-1x16", config)
    assert rows[-1]["saturated"]
    assert rows[-1]["step"] < 300
    assert all(row["train_kl"] + 1.645 * row["train_kl_stderr"] < 0.5 for row in rows)
    steps = [0] + [row["step"] for row in rows]
    assert all(b - a >= 10 and b >= a * config.evaluate_growth for a, b in pairwise(steps))


def test_a_decay_begins_when_the_model_is_saturated_and_training_ends_with_it(tmp_path):
    config = short(**EXACT, steps=400, evaluate_every=400, checkpoints=[400], resume_every=500)
    config = TrainConfig(**vars(config) | {"schedule": "wsd:at_saturation=true,decay=0.1", "stop_at_saturation": True})
    rows = session(tmp_path, "bert-1x16", config)
    first = next(row["step"] for row in rows if row["saturated"])
    assert rows[-1]["step"] == first + 39  # a tenth of the 392 steps after the warm-up
    assert rows[-1]["lr"] == 0.0
    assert folders(tmp_path) == [f"step-{first + 39:08d}"]
    rates = [config.learning_rate(step, first) for step in range(first, first + 40)]
    assert np.allclose(rates, config.lr * np.arange(39, -1, -1) / 39.2)
    # Where the model never gets there, the decay takes the last steps.
    assert config.learning_rate(360) == config.lr
    assert config.learning_rate(400 - 19.6) == pytest.approx(config.lr / 2)


def test_sessions_that_end_in_the_decay_change_no_bit(tmp_path):
    changes = EXACT | {"schedule": "wsd:at_saturation=true,decay=0.2", "threshold": 1.5, "steps": 60}
    config = short(**changes, checkpoints=[16, 60], evaluate_every=60)
    whole, rows = session(tmp_path / "whole", "bert-1x16", config), []
    assert 15 < whole[-1]["step"] < 60
    last = whole[-1]["step"]
    for stop in (4, 9, last - 5, last - 1):
        rows = interrupted(tmp_path / "parts", "bert-1x16", config, rows, stop)
    rows = session(tmp_path / "parts", "bert-1x16", config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("wsd:decay=0", "decay is 0.0, expected a share above 0 and at most 1"),
        ("wsd:decay=2", "decay is 2.0, expected a share above 0 and at most 1"),
        ("wsd:decy=1", "unknown setting 'decy': did you mean 'decay'"),
        ("wsdd", "schedule is 'wsdd', expected one of constant, cosine, linear, wsd; did you mean 'wsd'"),
    ],
)
def test_a_wrong_schedule_is_refused(schedule, said):
    with pytest.raises(InputError, match=said):
        TrainConfig(schedule=schedule)
