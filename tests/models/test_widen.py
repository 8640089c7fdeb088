"""A model inside a larger one: the same logits to rounding, and what becomes of each parameter's share of the trace."""

import re
from types import SimpleNamespace

import pytest
import torch
from support.contexts import all_contexts, gauss_newton
from support.networks import demo_hmm, gap, grammar_language, inside, padded_sentences, shaken, tiny_hmm
from support.untouched import untouched
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.models import build_model
from satlab.models.interface import TiedHead
from satlab.models.widen import ADDED, check_larger, widen

ENLARGED = [
    ("bert-1x16", "bert-1x32"),
    ("bert-1x16", "bert-4x48"),
    ("bert-2x16", "bert-2x64"),
    ("bert-2x16", "bert-3x128"),
    ("bert-2x24", "bert-2x192"),
    ("bert-1x48", "bert-2x192"),
    ("bert-1x64", "bert-4x128"),
    ("bert-2x128", "bert-3x384"),
    ("bert-2x16", "bert-5x16"),
    ("gpt-1x16", "gpt-3x48"),
    ("gpt-2x16", "gpt-3x128"),
    ("gpt-1x64", "gpt-2x192"),
    ("bert-post-2x16", "bert-post-2x48"),
    ("bert-post-1x16", "bert-post-1x128"),
    ("bert-post-2x64", "bert-post-2x192"),
    ("lstm-1x8", "lstm-1x24"),
    ("lstm-3x8", "lstm-3x16"),
    ("lstm-residual-1x8", "lstm-residual-1x24"),
    ("lstm-residual-2x8", "lstm-residual-5x16"),
    ("lstm-residual-2x8", "lstm-residual-3x8"),
]
"""Heads of the same size, one head that grows, one head that becomes several, with whole and with broken copies."""


@pytest.mark.parametrize("added", ADDED)
@pytest.mark.parametrize(("small", "large"), ENLARGED)
def test_the_larger_model_has_the_same_logits(small, large, added):
    language = grammar_language()
    model, (tokens, lengths) = shaken(small, language), padded_sentences(language)
    wide = widen(model, large, added)
    assert wide.name == large
    assert [p.shape for p in wide.parameters()] == [p.shape for p in build_model(large, language).parameters()]
    before, after = model.whole(tokens), wide.whole(tokens)
    keep = inside(lengths + before.shape[1] - tokens.shape[1], before.shape[1])
    before, after = model(before), wide(after)
    assert before[keep].std() > 0.3
    assert gap(after[keep], before[keep]) < 1e-10
    rows, positions = torch.arange(len(tokens)).repeat(2), torch.cat([lengths - 1, lengths * 0])
    assert gap(wide.logits_at(wide.whole(tokens), rows, positions), before[rows, positions]) < 1e-10


@pytest.mark.parametrize("small", ["bert-1x16", "bert-post-1x16", "gpt-1x16", "lstm-1x16", "lstm-residual-1x16"])
def test_features_are_repeated_and_divided_by_r(small):
    language = grammar_language()
    model, (tokens, lengths) = shaken(small, language), padded_sentences(language)
    r, keep = 3, inside(lengths, tokens.shape[1])
    wide = widen(model, small.replace("x16", "x48"))
    expected = torch.cat([model.features(tokens)] * r, 2) / r
    assert gap(wide.features(tokens)[keep], expected[keep]) < 1e-12


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 0.3])
@pytest.mark.parametrize("small", ["bert-2x16", "bert-post-2x16"])
def test_no_eps_of_a_norm_comes_in(small, eps, monkeypatch):
    """The features' variance is as small as eps, which a rescaling before the norm would show."""
    language = grammar_language()
    model, (tokens, _) = shaken(small, language, deviation=0.05), padded_sentences(language)
    wide = widen(model, small.replace("x16", "x64"))
    for network in (model, wide):
        for module in network.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.eps = eps
    keep = tokens != language.pad_id
    assert gap(wide(tokens)[keep], model(tokens)[keep]) < 1e-10


def test_enlarging_in_two_steps_and_to_the_same_size():
    language = grammar_language()
    model, (tokens, _) = shaken("bert-1x16", language), padded_sentences(language)
    keep = tokens != language.pad_id
    twice = widen(widen(model, "bert-2x64"), "bert-4x192")
    assert gap(twice(tokens)[keep], model(tokens)[keep]) < 1e-10
    same = widen(model, "bert-1x16")
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), same.parameters(), strict=True))


def test_the_model_itself_is_left_alone_and_the_larger_one_is_like_it():
    language = demo_hmm()
    model = shaken("bert-1x16", language, dropout=0.25, dtype=torch.float32).train()
    with untouched(model):
        wide = widen(model, "bert-3x32", "initial")
    assert model.training
    assert not wide.training
    assert {p.dtype for p in wide.parameters()} == {torch.float32}
    assert wide.dropout.p == 0.25
    assert all(p.requires_grad and p.is_leaf for p in wide.parameters())


def test_what_added_blocks_are_filled_with():
    language = demo_hmm()
    model = shaken("bert-1x16", language)
    zero, initial = widen(model, "bert-2x32"), widen(model, "bert-2x32", "initial", seed=4)
    assert all((p == 0).all() for p in zero.blocks[1].parameters())
    assert all((p != 0).all() for p in zero.blocks[0].parameters())
    fresh = dict(build_model("bert-2x32", language, seed=4).double().blocks[1].named_parameters())
    for name, p in initial.blocks[1].named_parameters():
        outgoing = name in ("attention.out.weight", "down.weight")
        assert torch.equal(p, torch.zeros_like(p) if outgoing else fresh[name]), name
    other = widen(model, "bert-2x32", "initial", seed=5)
    assert not torch.equal(other.blocks[1].up.weight, initial.blocks[1].up.weight)
    assert torch.equal(other.blocks[0].up.weight, initial.blocks[0].up.weight)


def gradients(model, language, steps=0):
    """name -> gradient of a loss, after so many steps of gradient descent on it."""
    batch = language.sample(16, generator(1)).tokens
    words = torch.randint(language.vocab_size, batch.shape, generator=generator(2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(steps + 1):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch).flatten(0, 1), words.flatten()).backward()
        found = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimizer.step()
    return found


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("small", ["bert-1x16", "gpt-1x16", "lstm-residual-1x16"])
def test_zero_blocks_learn_by_their_outgoing_biases_alone(small, steps):
    language = demo_hmm()
    model = widen(shaken(small, language), small.replace("1x16", "2x16"))
    learning = {name for name, gradient in gradients(model, language, steps).items() if gradient.abs().max() > 0}
    outgoing = {"layers.1.join.bias"} if "lstm" in small else {"blocks.1.attention.out.bias", "blocks.1.down.bias"}
    assert {name for name in learning if ".1." in name} == outgoing


def test_initial_blocks_learn_by_all_their_parameters():
    language = demo_hmm()
    model = widen(shaken("bert-1x16", language), "bert-2x16", "initial")
    found = gradients(model, language, steps=2)
    assert all(gradient.abs().max() > 1e-12 for name, gradient in found.items() if not name.endswith("key.bias"))


# ---- the trace


def expected_factor(model, wide, name):
    """What the share of a parameter of the small model is multiplied by."""
    r = wide.feature_size / model.feature_size
    module = model.get_submodule(name.rpartition(".")[0])
    kind = re.sub(r"-\d.*", "", model.name)
    last = {"lstm": "join", "bert-post": "transform.norm"}.get(kind, "norm")
    if isinstance(module, TiedHead):
        return 1.0
    if name.startswith(f"{last}."):
        return r * r if last == "join" and name.endswith("weight") else r
    if name.endswith(("query.weight", "query.bias")):
        heads = [network.get_submodule(name.rpartition(".query")[0]).heads for network in (model, wide)]
        copies = (wide.feature_size / heads[1]) / (model.feature_size / heads[0])
        return copies if name.endswith("weight") else copies / r
    matrix = isinstance(module, (torch.nn.Linear, torch.nn.LSTM)) and model.get_parameter(name).dim() == 2
    return 1.0 if matrix else 1 / r


TRACED = [
    ("bert-2x4", "bert-2x12"),
    ("bert-1x16", "bert-1x128"),
    ("bert-1x64", "bert-1x128"),
    ("bert-post-1x4", "bert-post-1x12"),
    ("lstm-1x4", "lstm-1x12"),
    ("lstm-2x4", "lstm-2x8"),
    ("lstm-residual-2x4", "lstm-residual-2x12"),
]


@pytest.mark.parametrize(("small", "large"), TRACED)
def test_each_parameter_keeps_its_share_of_the_trace_up_to_its_factor(small, large):
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = shaken(small, language)
    wide = widen(model, large)
    before, after = gauss_newton(model, contexts), gauss_newton(wide, contexts)
    assert before.keys() == after.keys()
    for name, share in before.items():
        if not name.endswith("key.bias"):
            assert share > 0, name
        expected = expected_factor(model, wide, name) * share
        assert after[name] == pytest.approx(expected, rel=1e-9, abs=1e-20), name


@pytest.mark.parametrize(("small", "large"), [("bert-2x4", "bert-4x12"), ("lstm-residual-1x4", "lstm-residual-3x8")])
def test_what_added_layers_add_to_the_trace(small, large):
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = shaken(small, language)
    before = gauss_newton(model, contexts)
    r = int(large.split("x")[1]) // int(small.split("x")[1])
    last = before["blocks.1.down.bias"] if "bert" in small else before["layers.0.join.bias"]
    own = {name for name, _ in model.named_parameters()}
    for added in ADDED:
        shares = gauss_newton(widen(model, large, added), contexts)
        new = {name: share for name, share in shares.items() if name not in own}
        biases = [name for name in new if name.endswith(("out.bias", "down.bias", "join.bias"))]
        assert len(biases) == (4 if "bert" in small else 2)
        for name in biases:
            assert new.pop(name) == pytest.approx(last / r, rel=1e-9), name
        weights = {name for name, share in new.items() if share != 0}
        assert weights == {
            name for name in new if added == "initial" and name.endswith(("out.weight", "down.weight", "join.weight"))
        }


def test_the_sampled_trace_of_each_block_follows_the_factors():
    """By kind of parameter, as it is reported: the words that are drawn are the same, as the two models' f is."""
    language = demo_hmm()
    sentences = language.sample(40, generator(0), latents=False)
    model = shaken("bert-1x64", language)
    before = hessian_trace(model, sentences, draws=2).blocks
    after = hessian_trace(widen(model, "bert-1x192"), sentences, draws=2).blocks
    assert after["embedding"].value == pytest.approx(before["embedding"].value / 3, rel=1e-9)
    assert after["position"].value == pytest.approx(before["position"].value / 3, rel=1e-9)
    assert after["weight"].value == pytest.approx(before["weight"].value, rel=1e-9)
    assert before["norm"].value / 3 < after["norm"].value < before["norm"].value * 3
    assert before["bias"].value / 3 < after["bias"].value < before["bias"].value


# ---- what cannot be done

REFUSED = {
    (
        "bert-2x64",
        "bert-5x100",
    ): "width 100 is not a multiple of 64; nearest that works: bert-5x128, or of the published sizes bert-4x128",
    ("bert-2x64", "gpt-2x128"): "gpt is another kind of model; nearest that works: bert-2x128",
    ("bert-2x64", "bert-post-2x64"): "bert-post is another kind of model",
    ("lstm-2x64", "lstm-residual-2x64"): "lstm-residual is another kind of model; nearest that works: lstm-2x128",
    ("bert-4x128", "bert-1x256"): "4 layers do not fit into 1; nearest that works: bert-4x256",
    ("bert-4x128", "bert-4x64"): "width 64 is narrower than 128; nearest that works: bert-4x256",
    ("bert-post-4x128", "bert-post-5x256"): "cannot leave its input unchanged; nearest that works: bert-post-4x256",
    ("lstm-4x128", "lstm-6x256"): "cannot leave its input unchanged; nearest that works: lstm-4x256",
    ("lstm-4x100", "lstm-4x270"): "width 270 is not a multiple of 100; nearest that works: lstm-4x300",
    ("bert-2x48", "bert-3x96"): "width 96 is not a multiple of the head size 64; nearest that works: bert-3x48",
    ("bert-16x1024", "bert-24x1536"): "width 1536 is not a multiple of 1024; nearest that works: bert-24x1024",
    ("bert-2x32", "bertt-2x64"): "unknown model 'bertt': did you mean 'bert'?",
    ("bert-2x32", "bert-2x"): "expected bert-LAYERSxWIDTH, for example bert-2x64",
    ("bert-2x32", "lookup"): "model 'lookup' has no size, expected bert-LAYERSxWIDTH, larger than bert-2x32",
    ("lookup", "bert-2x32"): "model 'lookup' has no size, expected a network such as bert-2x64",
}


@pytest.mark.parametrize(("small", "large"), REFUSED)
def test_what_cannot_be_done_is_said_with_the_nearest_that_can(small, large):
    with pytest.raises(InputError, match=re.escape(REFUSED[small, large])) as raised:
        widen(SimpleNamespace(name=small), large)
    if "cannot be enlarged" in str(raised.value):
        offered = re.findall(r"works: ([\w-]+)|sizes ([\w-]+)", str(raised.value))
        assert 1 <= len(offered) <= 2
        for size in map("".join, offered):
            assert size != small
            check_larger(small, size)


def test_an_unknown_filling_is_refused():
    with pytest.raises(InputError, match="unknown filling of added layers 'zeros': did you mean 'zero'"):
        widen(build_model("bert-1x16", demo_hmm()), "bert-2x16", "zeros")
