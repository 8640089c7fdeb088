"""How the loss rises around the weights: against the quadratic form at a minimum, and against steps made by hand."""

import copy

import pytest
import torch
from support.contexts import Exact, all_contexts, true_hessian
from support.networks import demo_hmm, grammar_language, shaken, tiny_hmm
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import sharpness
from satlab.flatness.problem import contexts_of
from satlab.randomness import random_stream


def test_at_a_minimum_a_random_step_rises_by_half_the_trace_a_parameter():
    """At the truth, with the truth as target: no slope, and L(theta + rho u) - L = rho^2 u.Hu / 2, E u.Hu = Tr / P."""
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = Exact(language, contexts)
    trace, size = sum(true_hessian(model, contexts).values()), sum(p.numel() for p in model.parameters())
    radii = (1e-3, 1e-2)
    found = sharpness(
        model, language.sample(2000, generator(1)), radii, 2, probes=500, targets="exact", language=language
    )
    assert [(rise.direction, rise.radius) for rise in found] == [(d, r) for d in ("random", "sam") for r in radii]
    for rise in found[:2]:
        exact = rise.radius**2 * trace / (2 * size)
        assert rise.n == 500
        assert abs(rise.value - exact) < 4 * rise.stderr + 1e-3 * exact
        assert rise.stderr < 0.05 * exact


@pytest.mark.parametrize(("name", "masking"), [("bert-1x8", "bernoulli:0.4"), ("lstm-1x4", "one"), ("gpt-1x8", "next")])
def test_the_sam_step_is_the_one_made_by_hand(name, masking):
    """Along the gradient of the first half of the sentences, measured on the second; by sampled words."""
    language = grammar_language()
    model, sentences = shaken(name, language, deviation=0.3), language.sample(24, generator(1))
    found = [rise for rise in sharpness(model, sentences, (0.1,), 3, masking, probes=4) if rise.direction == "sam"]
    batch = contexts_of(model, sentences, masking, random_stream(3, "flatness"))
    halves = [batch.select(slice(0, 12))[0], batch.select(slice(12, 24))[0]]

    def losses(network, part):
        log_f = network.logits_at(part.inputs, part.rows, part.positions).log_softmax(1)
        return -log_f.gather(1, part.targets[:, None])[:, 0]

    moved = copy.deepcopy(model)
    gradients = torch.autograd.grad(losses(moved, halves[0]).mean(), list(moved.parameters()))
    norm = sum(float(g.square().sum()) for g in gradients) ** 0.5
    with torch.no_grad():
        for parameter, g in zip(moved.parameters(), gradients, strict=True):
            parameter += 0.1 * g / norm
        exact = halves[1].mean(losses(moved, halves[1]) - losses(model, halves[1]))
    assert found[0].value == pytest.approx(exact.value, rel=1e-9)
    assert found[0].stderr == pytest.approx(exact.stderr, rel=1e-9)
    assert found[0].n == 12
    assert exact.value > 0


def test_a_sam_step_rises_more_than_a_random_one_and_a_longer_more_than_a_shorter():
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language, deviation=0.2), language.sample(400, generator(1))
    found = {(r.direction, r.radius): r for r in sharpness(model, sentences, (0.1, 0.3), probes=50)}
    assert found["sam", 0.1].value > found["random", 0.1].value + 4 * found["random", 0.1].stderr
    assert found["sam", 0.3].value > found["sam", 0.1].value + 4 * found["sam", 0.1].stderr
    assert all(rise.stderr < 0.05 for rise in found.values())


def test_measuring_changes_neither_weights_nor_random_state():
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language), language.sample(8, generator(1))
    with untouched(model):
        one = sharpness(model, sentences, probes=4)
    assert sharpness(model, sentences, probes=4) == one
    assert sharpness(model, sentences, seed=1, probes=4) != one


@pytest.mark.parametrize("radii", [(), (0.0,), (0.1, -1.0), (float("nan"),), (float("inf"),)])
def test_radii_that_are_no_distances_are_refused(radii):
    language = demo_hmm()
    with pytest.raises(InputError, match=r"radii are .* expected positive numbers"):
        sharpness(shaken("bert-1x16", language), language.sample(8, generator(1)), radii)


def test_a_radius_that_is_too_far_or_given_twice_is_refused():
    language = tiny_hmm()
    model, sentences = shaken("bert-1x16", language), language.sample(8, generator(1), latents=False)
    with pytest.raises(InputError, match=r"radius 1e\+200: the loss is not finite"):
        sharpness(model, sentences, (1e200,), probes=2)
    with pytest.raises(InputError, match="each once"):
        sharpness(model, sentences, (0.1, 0.1), probes=2)


def test_a_share_in_which_no_word_is_hidden_adds_nothing():
    language = tiny_hmm()
    model, sentences = shaken("bert-1x16", language), language.sample(20, generator(1), latents=False)
    found = sharpness(model, sentences, (0.1,), 3, "bernoulli:0.15", probes=20)
    assert all(rise.n > 0 and abs(rise.value) < 1 for rise in found)
