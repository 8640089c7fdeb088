"""Rescalings that no prediction sees, and what they do to each parameter's share of the trace."""

import pytest
import torch
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, shaken, tiny_hmm
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import hessian_trace, rescaled, trace_under_rescaling
from satlab.flatness.ghost_norms import fallback as gradients
from satlab.generators.batches import Stream
from satlab.models import build_model

ALL = [*((name, "one") for name in NETWORKS), ("gpt-2x16", "next")]


@pytest.mark.parametrize("alpha", [0.3, 4.0])
@pytest.mark.parametrize(("name", "masking"), ALL)
def test_the_logits_stay_and_each_share_scales_by_its_own_factor(name, masking, alpha):
    """A parameter that became c times as large has a gradient 1 / c as large."""
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 5, 1, masking).batch(1)
    other = rescaled(model, alpha)
    with torch.no_grad():
        one, two = (m.logits_at(batch.inputs, batch.rows, batch.positions) for m in (model, other))
    assert gap(one, two) < 1e-11 * float(one.abs().max())
    words = torch.zeros(len(batch.rows), 1, dtype=torch.long)
    before, after = (gradients.one_by_one(m, batch, words) for m in (model, other))
    changed = 0
    largest = max(float(v.max()) for v in before.values())
    for path, parameter in model.named_parameters():
        scaled, factor = (
            other.get_parameter(path),
            float(other.get_parameter(path).flatten()[0] / parameter.flatten()[0]),
        )
        assert gap(scaled, factor * parameter) < 1e-12 * float(scaled.abs().max())
        changed += factor != pytest.approx(1)
        assert (
            gap(after[path], before[path] / factor**2) < 1e-8 * float(before[path].max()) / factor**2 + 1e-20 * largest
        )
    assert changed >= 3


@pytest.mark.parametrize(("name", "masking"), ALL)
def test_the_trace_of_the_same_function_is_another(name, masking):
    language = demo_hmm()
    model, sentences = shaken(name, language), language.sample(40, generator(1), latents=False)
    small, same, large = trace_under_rescaling(model, sentences, (0.1, 1.0, 10.0), masking=masking)
    plain = hessian_trace(model, sentences, "random-factor", masking=masking)
    assert same.value == pytest.approx(plain.value, rel=1e-10)
    assert same.logit_change < 1e-12
    for other in (small, large):
        assert other.logit_change < 1e-10
        assert abs(other.value - same.value) > 4 * same.stderr
        assert sum(block.value for block in other.blocks.values()) == pytest.approx(other.value, rel=1e-10)
    assert (small.alpha, large.alpha, large.n) == (0.1, 10.0, 40)


def test_the_model_itself_is_left_alone():
    model = shaken("bert-1x16", demo_hmm())
    with untouched(model):
        rescaled(model, 3.0)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_not_positive_is_refused(alpha):
    with pytest.raises(InputError, match=r"alpha is .* expected a positive number"):
        rescaled(shaken("bert-1x16", demo_hmm()), alpha)


def test_a_model_without_weights_to_rescale_is_refused():
    language = tiny_hmm()
    with pytest.raises(InputError, match="model 'lookup': no rescaling of its weights is known"):
        rescaled(build_model("lookup", language), 2.0)
