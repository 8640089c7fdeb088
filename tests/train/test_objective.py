"""The loss and the divergence from the truth, against plain loops; the rule of saturation; the configuration."""

import math

import numpy as np
import pytest
import torch
from support.divergences import plain_divergences
from support.networks import NETWORKS, demo_hmm, grammar_language, shaken

from satlab.errors import InputError
from satlab.estimate import Estimate
from satlab.generators.batches import Batch, Stream, evaluation_set
from satlab.models import build_model
from satlab.models.interface import LanguageModel
from satlab.train import TrainConfig, kl_to_truth, masked_loss
from satlab.train import losses as objective
from satlab.train.saturation import SaturationRule


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
@pytest.mark.parametrize("name", NETWORKS)
def test_kl_is_the_plain_sum(name, make, masking):
    language = make()
    model, held_out = shaken(name, language), evaluation_set(language, 40, 1, masking)
    model.train()
    kl, expected = kl_to_truth(model, held_out), plain_divergences(model.eval(), held_out)
    assert abs(kl.value - expected.mean()) < 1e-10
    assert kl.value > 0.05
    assert kl.n == 40
    if masking == "one":
        assert abs(kl.stderr - expected.std(ddof=1) / math.sqrt(40)) < 1e-10


def test_kl_does_not_depend_on_the_chunks(monkeypatch):
    language = demo_hmm()
    model, held_out = shaken("bert-1x16", language), evaluation_set(language, 50, 1, "bernoulli:0.4")
    whole = kl_to_truth(model, held_out)
    for size in (1, 7, 64):
        monkeypatch.setattr(objective, "EVALUATION_CHUNK", size)
        assert kl_to_truth(model, held_out).value == pytest.approx(whole.value, abs=1e-13)


def test_kl_is_a_measurement_only():
    language = demo_hmm()
    model, held_out = shaken("lstm-2x8", language, dropout=0.5), evaluation_set(language, 20, 1)
    model.train()
    before = torch.random.get_rng_state()
    assert kl_to_truth(model, held_out) == kl_to_truth(model, held_out)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(p.grad is None for p in model.parameters())


def test_float32_models_are_measured_in_float64():
    language = demo_hmm()
    model, held_out = shaken("bert-1x16", language, dtype=torch.float32), evaluation_set(language, 200, 1)
    double = shaken("bert-1x16", language, dtype=torch.float32).double()
    assert kl_to_truth(model, held_out).value == pytest.approx(kl_to_truth(double, held_out).value, abs=1e-6)


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("make", [demo_hmm, grammar_language])
def test_cross_entropy_is_divergence_plus_floor(make, masking):
    language = make()
    model, held_out = shaken("bert-1x16", language), evaluation_set(language, 60, 4, masking)
    batch = held_out.batch
    log_f = model.logits_at(batch.inputs, batch.rows, batch.positions).log_softmax(1)
    cross_entropy = -(held_out.truth * log_f).sum(1).mean().item()
    assert kl_to_truth(model, held_out).value + held_out.floor.value == pytest.approx(cross_entropy, abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_masked_loss_is_the_mean_surprise_of_the_hidden_words(name):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 20, 2, "bernoulli:0.4").batch(3)
    assert len(batch.rows) != len(batch.inputs)
    surprises = []
    for row, position, target in zip(batch.rows, batch.positions, batch.targets, strict=True):
        weights = model(batch.inputs[row : row + 1])[0, position].exp().tolist()
        surprises.append(-math.log(weights[target] / math.fsum(weights)))
    assert masked_loss(model, batch).item() == pytest.approx(np.mean(surprises), abs=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_masked_loss_where_as_many_words_as_sentences_are_hidden(name):
    """Such a batch is not the one-word-a-sentence batch that it looks like."""
    language = demo_hmm()
    model, one = shaken(name, language), Stream(language, 4, 2).batch(3)
    inputs = one.inputs.clone()
    rows, positions = torch.tensor([0, 0, 1, 3]), torch.tensor([2, 5, 1, 4])
    inputs[rows, positions] = language.mask_id
    together = masked_loss(model, Batch(inputs, rows, positions, torch.tensor([1, 2, 3, 4]))).item()
    one_by_one = [
        masked_loss(model, Batch(inputs[r][None], torch.tensor([0]), t[None], w[None])).item()
        for r, t, w in zip(rows, positions, torch.tensor([1, 2, 3, 4]), strict=True)
    ]
    assert together == pytest.approx(np.mean(one_by_one), abs=1e-12)


def test_masked_loss_carries_the_gradient():
    language = demo_hmm()
    model, batch = shaken("bert-1x16", language), Stream(language, 5, 2).batch(1)
    bias = model.words.bias
    gradient = torch.autograd.grad(masked_loss(model, batch), bias)[0]
    f = model.logits_at(batch.inputs, batch.rows, batch.positions).softmax(1)
    expected = (f - torch.eye(10, dtype=torch.float64)[batch.targets]).mean(0)
    assert (gradient - expected).abs().max() < 1e-14


class Zero(LanguageModel):
    """A model that never predicts word 0."""

    def __init__(self):
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = "zero", 10, 8, 10

    def features(self, tokens):
        return torch.zeros(*tokens.shape, 10).index_fill(-1, torch.tensor([0]), -math.inf)

    def logits(self, features):
        return features


def test_a_model_that_excludes_what_happens_is_infinitely_far():
    assert kl_to_truth(Zero(), evaluation_set(demo_hmm(), 50, 1)).value == math.inf


def test_a_possible_word_of_probability_zero_costs_nothing():
    """In the grammar many words are impossible at many places, and the model's -inf there is no nan."""
    language = grammar_language()
    held_out = evaluation_set(language, 50, 1)
    assert (held_out.truth == 0).any()
    assert abs(kl_to_truth(build_model("lookup", language), held_out).value) < 1e-14


@pytest.mark.parametrize(
    ("value", "stderr", "holds"),
    [
        (0.009, 0.0, True),
        (0.01, 0.0, False),
        (0.0, 0.001, True),
        (0.0, 0.00101, False),
        (0.005, 0.003, False),
        (0.0083, 0.001, True),
        (0.0084, 0.001, False),
        (0.0, math.nan, False),
        (math.nan, 0.0, False),
        (math.inf, 0.0, False),
        (-math.inf, 0.0, False),
        (0.02, 0.0, False),
    ],
)
def test_saturated_is_who_is_below_the_threshold_with_95_percent(value, stderr, holds):
    """And is known well enough for that to mean anything: within a tenth of the threshold."""
    assert SaturationRule(0.01).holds(Estimate(value, stderr, 100)) is holds


def test_a_batch_that_hides_nothing_is_no_divergence():
    """With bernoulli masking and short sentences a batch without a hidden word is an ordinary event."""
    language = demo_hmm()
    model = build_model("bert-1x16", language)
    none = torch.zeros(0, dtype=torch.long)
    loss = masked_loss(model, Batch(language.sample(2, torch.Generator()).tokens, none, none, none))
    assert math.isfinite(loss.item())


# ---- configuration


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0, expected at least 1"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"evaluate_every": 0}, "evaluate_every is 0"),
        ({"resume_every": 0}, "resume_every is 0"),
        ({"evaluation_sentences": 1}, "evaluation_sentences: expected at least 2"),
        ({"lr": 0.0}, "lr is 0.0, expected a positive number"),
        ({"lr": math.nan}, "lr is nan"),
        ({"lr": math.inf}, "lr is inf"),
        ({"threshold": -0.01}, "threshold is -0.01"),
        ({"eps": 0.0}, "eps is 0.0"),
        ({"warmup": 1.0}, "warmup is 1.0, expected a share"),
        ({"warmup": -0.1}, "warmup is -0.1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": math.nan}, "dropout is nan"),
        ({"weight_decay": -0.1}, "weight_decay is -0.1, expected a finite number from 0"),
        ({"weight_decay": math.nan}, "weight_decay"),
        ({"weight_decay": math.inf}, "weight_decay"),
        ({"betas": (0.9, 1.0)}, r"betas are \[0.9, 1.0\], expected"),
        ({"betas": (-0.1, 0.9)}, "expected numbers from 0 to below 1"),
        ({"checkpoints": [10, 0]}, "checkpoints are"),
        ({"schedule": "cosin"}, "schedule"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**change)


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({"steps": 16_000}, [250, 500, 1000, 2000, 4000, 8000, 16_000]),
        ({"steps": 250}, [250]),
        ({"steps": 3}, [3]),
        ({"steps": 700}, [250, 500, 700]),
        ({"steps": 100, "checkpoints": [40, 10, 10, 400]}, [10, 40, 100]),
        ({"steps": 100, "checkpoints": []}, [100]),
        ({"steps": 100, "checkpoints": [100]}, [100]),
    ],
)
def test_kept_steps(change, steps):
    assert TrainConfig(**change).kept_steps == steps


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rate_rises_to_its_peak_and_follows_its_schedule(schedule):
    config = TrainConfig(steps=200, lr=0.5, warmup=0.1, schedule=schedule)
    rates = [config.learning_rate(step) for step in range(1, 201)]
    assert rates[:20] == pytest.approx([0.025 * k for k in range(1, 21)], rel=1e-12)
    after = np.arange(1, 181) / 180
    expected = {"constant": 0 * after + 1, "linear": 1 - after, "cosine": np.cos(np.pi * after / 2) ** 2}[schedule]
    assert rates[20:] == pytest.approx(0.5 * expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 0.9), (2, 0.5), (10, 0.99), (7, 0.06)])
def test_learning_rate_stays_between_zero_and_its_peak(schedule, steps, warmup):
    config = TrainConfig(steps=steps, lr=0.5, warmup=warmup, schedule=schedule)
    assert all(0 <= config.learning_rate(step) <= 0.5 for step in range(1, steps + 1))
