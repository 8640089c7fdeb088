"""Random probes of the Hessian against its exact trace over all contexts of a tiny language, and one another."""

import pytest
import torch
from support.contexts import Exact, all_contexts, gauss_newton, true_hessian
from support.networks import demo_hmm, grammar_language, shaken, tiny_hmm

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.flatness.estimators import hutchinson
from satlab.flatness.operator import Space, product
from satlab.flatness.trace_terms import Given, by_block
from satlab.generators.batches import Stream
from satlab.models import build_model
from satlab.randomness import random_stream


def sampled(language, count, seed=0):
    return language.sample(count, random_stream(seed, "evaluation"), latents=False)


def exact_traces(model, contexts):
    """{method: {block: trace}}, total included."""
    found = {"hutchinson": true_hessian(model, contexts), "gauss-newton-hutchinson": gauss_newton(model, contexts)}
    kinds = {method: by_block(model, shares) for method, shares in found.items()}
    whole, squared = kinds["hutchinson"], kinds["gauss-newton-hutchinson"]
    kinds["residual"] = {block: whole[block] - squared[block] for block in whole}
    kinds["by-parts"] = whole
    return {method: blocks | {"total": sum(blocks.values())} for method, blocks in kinds.items()}


@pytest.fixture(scope="module")
def shaken_bert():
    language = tiny_hmm()
    model = shaken("bert-1x8", language, deviation=0.2)
    return language, model, exact_traces(model, all_contexts(language))


@pytest.mark.parametrize(
    ("method", "targets", "probes", "share"),
    [
        pytest.param("hutchinson", "exact", 150, 0.12, marks=pytest.mark.slow),
        ("hutchinson", "sampled", 150, 0.2),
        ("gauss-newton-hutchinson", "sampled", 150, 0.1),
        ("residual", "sampled", 150, 0.12),
        ("by-parts", "sampled", 150, 0.12),
    ],
)
def test_the_mean_is_the_trace(shaken_bert, method, targets, probes, share):
    """share: what the standard error may be of the Hessian's trace."""
    language, model, exact = shaken_bert
    sentences = sampled(language, 900)
    found = hessian_trace(model, sentences, method, seed=3, probes=probes, targets=targets, language=language)
    assert found.n == probes
    assert abs(found.value - exact[method]["total"]) < 4 * found.stderr
    assert found.stderr < share * exact["hutchinson"]["total"]
    assert found.blocks.keys() == exact[method].keys() - {"total"}
    for block, estimate in found.blocks.items():
        assert abs(estimate.value - exact[method][block]) < 4 * estimate.stderr
    assert sum(block.value for block in found.blocks.values()) == pytest.approx(found.value, rel=1e-10)


def test_the_truth_as_target_removes_the_labels_noise(shaken_bert):
    language, model, _ = shaken_bert
    sentences = sampled(language, 900)
    soft, hard = (
        hessian_trace(model, sentences, "hutchinson", probes=120, targets=targets, language=language)
        for targets in ("exact", "sampled")
    )
    assert soft.stderr < 0.9 * hard.stderr


@pytest.mark.parametrize("probes", [50, 200])
def test_at_the_truth_the_residual_vanishes(probes):
    """Of logits A B, whose second derivatives do not."""
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = Exact(language, contexts)
    sentences = sampled(language, 1000)
    residual = hessian_trace(model, sentences, "residual", probes=probes, language=language)
    assert abs(residual.value) < 1e-10
    assert residual.stderr < 1e-10
    one, other = (
        hessian_trace(model, sentences, method, seed=1, probes=probes, targets="exact", language=language)
        for method in ("hutchinson", "gauss-newton-hutchinson")
    )
    assert one.value == pytest.approx(other.value, rel=1e-10)
    hard = hessian_trace(model, sentences, "hutchinson", seed=1, probes=probes, language=language)
    assert abs(hard.value - one.value) > 1e-3
    exact = sum(true_hessian(model, contexts).values())
    assert abs(hard.value - exact) < 4 * hard.stderr
    assert abs(one.value - exact) < 4 * one.stderr
    assert one.stderr < (0.25 if probes == 50 else 0.12) * exact


@pytest.mark.slow
def test_near_the_truth_all_estimators_agree():
    """A network that knows its three contexts' words almost: what differs is small, and by-parts finds it."""
    language = tiny_hmm()
    model, stream = build_model("bert-1x16", language), Stream(language, 64, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, 300)
    for step in range(300):
        batch = stream.batch(step)
        log_f = model.logits_at(batch.inputs, batch.rows, batch.positions).log_softmax(1)
        optimizer.zero_grad()
        (-(stream.truth(batch).float() * log_f).sum(1).mean()).backward()
        optimizer.step()
        schedule.step()
    model, sentences = model.double().eval(), sampled(language, 900)
    found = {
        method: hessian_trace(model, sentences, method, probes=60, language=language, targets=targets)
        for method, targets in (
            ("sampled-gradient", "sampled"),
            ("gauss-newton", "sampled"),
            ("by-parts", "exact"),
            ("hutchinson", "exact"),
            ("residual", "exact"),
        )
    }
    exact = found["gauss-newton"]
    assert abs(found["residual"].value) < 0.1 * exact.value
    assert found["residual"].stderr < 0.03 * exact.value
    for method in ("sampled-gradient", "by-parts", "hutchinson"):
        apart = abs(found[method].value - exact.value - (method != "sampled-gradient") * found["residual"].value)
        assert apart < 4 * (found[method].stderr ** 2 + exact.stderr**2 + found["residual"].stderr ** 2) ** 0.5
        assert found[method].stderr < 0.1 * exact.value


@pytest.mark.parametrize(("name", "masking"), [("lstm-1x2", "one"), ("bert-1x4", "bernoulli:0.3"), ("gpt-1x2", "next")])
def test_probes_on_padded_sentences_with_several_contexts(name, masking):
    """By the dense matrix's diagonal over the same contexts: what is left is the probes' own noise."""
    language = grammar_language()
    model, stream = shaken(name, language, deviation=0.3), Stream(language, 12, 1, masking)
    batch = stream.batch(1)
    truth, space = stream.truth(batch), Space(model)
    units = torch.eye(len(space), dtype=torch.float64)
    exact = float(product(model, space, "hessian", batch, truth, units).trace()) / len(batch.rows)
    given = [Given(batch, random_stream(seed, "flatness"), truth=truth) for seed in range(14)]
    found = [hutchinson.Hutchinson(4).terms(model, one).estimate for one in given]
    values = torch.tensor([estimate.value for estimate in found])
    stderr = float(values.std()) / 14**0.5
    assert abs(float(values.mean()) - exact) < 4 * stderr
    assert stderr < 0.5 * abs(exact)
    assert all(estimate.n == 4 for estimate in found)


def test_the_standard_error_is_the_deviation_over_repetitions():
    language = tiny_hmm()
    model = Exact(language, all_contexts(language))
    found = [hessian_trace(model, sampled(language, 40, s), "hutchinson", seed=s, probes=10) for s in range(60)]
    deviation = float(torch.tensor([f.value for f in found]).std())
    mean_square = sum(f.stderr**2 for f in found) / len(found)
    assert mean_square**0.5 == pytest.approx(deviation, rel=0.3)


def test_more_probes_than_sentences_are_refused():
    language = demo_hmm()
    with pytest.raises(InputError, match="13 probes on 12 sentences: expected"):
        hessian_trace(shaken("bert-1x16", language), sampled(language, 12), "hutchinson", probes=13)
