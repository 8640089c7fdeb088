"""The adversarial algorithm (Liu et al. 2022, A.4): the head in closed form, its gradient, and a step with it."""

import math

import numpy as np
import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, shaken
from support.training import parts, short, trainer
from support.words import generator
from torch.nn import functional as F

from satlab.errors import InputError
from satlab.generators.tasks import find_task
from satlab.probes import linear_probe
from satlab.train import Adversary, masked_loss
from satlab.train.adversary import (
    ADVERSARY_HEADS,
    FIRST_STRENGTH,
    GROWTH,
    RETREAT,
    clipped_head_loss,
    unit_norm_head_loss,
)
from satlab.train.config import CHOICES

RIDGE = 1e-3


def sample(half, width, classes, seed=0):
    """(features [2 half, width] far from centred, one-hot labels) with labels that depend on the features."""
    features = 3.0 + torch.randn(2 * half, width, generator=generator(seed), dtype=torch.float64)
    noise = torch.randn(2 * half, classes, generator=generator(seed + 1), dtype=torch.float64)
    return features, F.one_hot((2 * features[:, :classes] + noise).argmax(1), classes)


def ridge_regression(features, labels, ridge):
    """The same loss by the normal equations of W itself, sentence by sentence in numpy."""
    half = len(features) // 2
    features, labels = features.numpy(), labels.numpy().astype(float)
    h, y = features[:half] - features[:half].mean(0), labels[:half] - labels[:half].mean(0)
    penalty = ridge * np.mean([row @ row for row in h])
    w = np.linalg.solve(h.T @ h / half + penalty * np.eye(h.shape[1]), h.T @ y / half)
    losses = []
    for row, label in zip(features[half:], labels[half:], strict=True):
        predicted = labels[:half].mean(0) + (row - features[:half].mean(0)) @ w
        losses.append(((predicted.clip(0, 1) - label) ** 2).sum())
    return np.mean(losses)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize(("half", "width", "classes"), [(40, 6, 3), (10, 50, 4), (12, 5, 1)])
def test_the_head_is_ridge_regression(half, width, classes, ridge):
    features, labels = sample(half, width, classes)
    found = clipped_head_loss(features, labels, ridge)
    assert found.item() == pytest.approx(ridge_regression(features, labels, ridge), abs=1e-10)


def test_a_strong_ridge_leaves_the_frequencies():
    features, labels = sample(200, 6, 3)
    frequencies = labels[:200].double().mean(0)
    expected = (frequencies - labels[200:]).square().sum(1).mean()
    assert clipped_head_loss(features, labels, 1e9).item() == pytest.approx(expected.item(), abs=1e-6)
    assert clipped_head_loss(features, labels, RIDGE) < 0.6 * expected


def test_the_loss_knows_no_scale_and_no_shift():
    features, labels = sample(30, 8, 3)
    found = clipped_head_loss(features, labels, RIDGE)
    assert clipped_head_loss(1e3 * features - 7.0, labels, RIDGE).item() == pytest.approx(found.item(), abs=1e-9)


def test_the_loss_is_bounded_however_large_a_feature():
    features, labels = sample(30, 8, 3)
    features[45] *= 1e8
    assert 0 <= clipped_head_loss(features, labels, RIDGE) <= 3


def test_features_that_are_all_equal_have_a_loss_and_a_gradient():
    features, labels = torch.ones(20, 4, dtype=torch.float64, requires_grad=True), sample(10, 4, 3)[1]
    loss = clipped_head_loss(features, labels, RIDGE)
    loss.backward()
    assert loss.isfinite()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(("half", "width"), [(9, 4), (5, 12)])
def test_the_gradient_goes_through_the_fitted_head(half, width):
    """Of both halves, W(theta)'s dependence on theta included: by finite differences."""
    features, labels = sample(half, width, 3)
    assert torch.autograd.gradcheck(lambda x: clipped_head_loss(x, labels, 0.1), features.requires_grad_(), atol=1e-6)
    (whole,) = torch.autograd.grad(clipped_head_loss(features, labels, 0.1), features)
    assert whole[:half].abs().max() > 1e-3
    assert whole[half:].abs().max() > 1e-3


def test_the_unit_norm_head_is_the_released_one_sentence_by_sentence():
    features, labels = sample(16, 6, 3)
    h = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    y = labels.numpy() - 1 / 3
    cut = np.vectorize(lambda cosine: min(max(cosine, -0.9999999), 0.9999999))
    inverse = np.linalg.inv(cut(h[:28] @ h[:28].T) + RIDGE * np.eye(28))
    losses = [(sum(cut(h[i] @ h[j]) * (inverse @ y[:28])[j] for j in range(28)) - y[i]) ** 2 for i in range(28, 32)]
    assert unit_norm_head_loss(features, labels, RIDGE).item() == pytest.approx(np.mean(losses), abs=1e-9)


def test_the_unit_norm_head_knows_no_scale_of_a_sentence_and_takes_zeros():
    features, labels = sample(16, 6, 3)
    found = unit_norm_head_loss(features, labels, RIDGE)
    scaled = features * torch.logspace(-3, 3, len(features), dtype=torch.float64)[:, None]
    assert unit_norm_head_loss(scaled, labels, RIDGE).item() == pytest.approx(found.item(), abs=1e-9)
    zeros = torch.zeros_like(features, requires_grad=True)
    unit_norm_head_loss(zeros, labels, RIDGE).backward()
    assert zeros.grad.isfinite().all()


def test_the_gradient_goes_through_the_unit_norm_head():
    features, labels = sample(8, 4, 3)
    assert torch.autograd.gradcheck(lambda x: unit_norm_head_loss(x, labels, 0.1), features.requires_grad_(), atol=1e-6)


def test_a_configuration_takes_every_head_and_no_other():
    assert tuple(ADVERSARY_HEADS) == CHOICES["adversary_head"]
    with pytest.raises(InputError, match="clipped, unit-norm"):
        short(adversary_head="unit norm")


def adversary(model, language, task, **changes):
    config = short(adversary_task=task, adversary_sentences=32, **changes)
    return Adversary(model, language, find_task(language, task), config)


@pytest.mark.parametrize(
    ("make", "task"), [(demo_hmm, "state-4"), (grammar_language, "tree-B")], ids=["hmm", "grammar"]
)
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-2x8"])
def test_the_gradient_reaches_every_weight(name, make, task):
    """d/dtheta of the loss on D2, along a random direction of all weights, by central differences."""
    language = make()
    model = shaken(name, language, deviation=0.2)
    against = adversary(model, language, task)
    directions = [torch.randn(p.shape, generator=generator(3), dtype=p.dtype) for p in model.parameters()]
    found = torch.autograd.grad(against.loss(1), list(model.parameters()), allow_unused=True)
    slope = sum(float((g * d).sum()) for g, d in zip(found, directions, strict=True) if g is not None)

    def moved(by):
        with torch.no_grad():
            for p, d in zip(model.parameters(), directions, strict=True):
                p += by * d
            value = float(against.loss(1))
            for p, d in zip(model.parameters(), directions, strict=True):
                p -= by * d
        return value

    assert abs(slope) > 1e-4
    assert slope == pytest.approx((moved(1e-5) - moved(-1e-5)) / 2e-5, rel=1e-4)


def test_the_two_samples_are_fresh_at_every_step_and_the_same_whoever_asks():
    language = demo_hmm()
    model = shaken("bert-1x16", language)
    one, other = (adversary(model, language, "state-4") for _ in range(2))
    assert one.loss(3).item() == other.loss(3).item()
    assert one.loss(3).item() != one.loss(4).item()


@pytest.mark.parametrize("head", ADVERSARY_HEADS)
def test_a_step_descends_one_loss_and_ascends_the_other(tmp_path, head):
    """SGD, one step: w - lr (grad L_pretrain - strength grad L_D2), every term computed apart."""
    strength = 0.7
    changes = {"optimizer": "sgd", "lr": 1.0, "warmup": 0.0, "weight_decay": 0.0, "steps": 1, "checkpoints": []}
    config = short(
        adversary_task="state-4",
        adversary_strength=strength,
        adversary_sentences=32,
        adversary_head=head,
        **changes,
    )
    made = trainer("bert-1x16", config, tmp_path)
    model, against = made.model.double(), made.adversary
    before = [p.detach().clone() for p in model.parameters()]
    weights = list(model.parameters())
    down = torch.autograd.grad(masked_loss(model, made.stream.batch(1)), weights)
    up = torch.autograd.grad(against.loss(1), weights, allow_unused=True)
    expected = [p - g + (0 if a is None else strength * a) for p, g, a in zip(before, down, up, strict=True)]
    (row,) = made.rows()
    assert max(gap(p, e) for p, e in zip(model.parameters(), expected, strict=True)) < 1e-12
    assert max(float(a.abs().max()) for a in up if a is not None) > 1e-3
    assert row.loss == pytest.approx(float(masked_loss_at(before, config)), abs=1e-12)


def masked_loss_at(weights, config):
    """The pre-training loss alone, at these weights: what a row reports."""
    model, stream, _ = parts("bert-1x16", config)
    model.double()
    with torch.no_grad():
        for p, w in zip(model.parameters(), weights, strict=True):
            p.copy_(w)
    return masked_loss(model, stream.batch(1))


def test_the_strength_grows_while_kl_leaves_room_and_is_halved_beyond_the_threshold():
    language = demo_hmm()
    against = adversary(shaken("bert-1x16", language), language, "state-4", threshold=0.1)
    seen = [against.strength]
    for upper in (0.2, 0.08, 0.06, 0.06, 0.08, 0.11, 0.1, 0.0, math.nan):
        against.adjust(upper)
        seen.append(against.strength)
    first, grown = FIRST_STRENGTH, FIRST_STRENGTH * GROWTH
    back = grown * RETREAT**2
    again = max(back * GROWTH, first)
    expected = [0, 0, 0, first, grown, grown, grown * RETREAT, back, again, again * RETREAT]
    assert seen == pytest.approx(expected)


def test_a_fixed_strength_stays():
    language = demo_hmm()
    against = adversary(shaken("bert-1x16", language), language, "state-4", adversary_strength=0.3)
    for upper in (0.0, 1.0, 0.0):
        against.adjust(upper)
        assert against.strength == 0.3


@pytest.mark.slow
def test_against_a_task_accuracy_falls_at_a_loss_that_is_as_good(tmp_path):
    """The same network, batches and steps: both end saturated, and the probe reads less off the adversary's."""
    changes = {"steps": 1000, "batch_size": 128, "lr": 4.5e-3, "schedule": "wsd:decay=0.5", "threshold": 0.015}
    fast = {"targets": "exact", "optimizer": "muon", "optimizer_settings": {"matrix_lr": 0.011}, "warmup": 0.05}
    often = {"evaluate_every": 50, "resume_every": 10**6, "evaluation_sentences": 4096, "checkpoints": [1000]}
    accuracies = {}
    for task in (None, "state-4"):
        config = short(adversary_task=task, adversary_sentences=512, **changes, **fast, **often)
        made = trainer("bert-2x32", config, tmp_path / str(task))
        *_, row = made.rows()
        assert row.saturated
        accuracies[task] = linear_probe(made.model, made.language, find_task(made.language, "state-4"), 4000, 4000, 3)
    plain, spoilt = accuracies[None], accuracies["state-4"]
    assert plain.value - spoilt.value > 0.02
    assert plain.value - spoilt.value > 4 * (plain.stderr**2 + spoilt.stderr**2) ** 0.5
