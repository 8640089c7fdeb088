"""The causal model: what it has read at each position, what it predicts there, and how training brings it to truth."""

import itertools

import pytest
import torch
from support.contexts import Contexts, gauss_newton
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, inside, padded_sentences, shaken, tiny_hmm
from support.words import generator
from torch.nn import functional as F

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.flatness.estimators import sampled_gradient
from satlab.generators import Sentences
from satlab.generators.batches import Stream, evaluation_set, exact_truth, next_words
from satlab.models import build_model, check_masking, default_masking
from satlab.probes import concatenated_features
from satlab.train import kl_to_truth, masked_loss

NAMES = ("gpt-1x16", "gpt-2x16", "gpt-2x128")


def small_grammar():
    """Sentences of 1 to 4 words, so that the end has to be learned."""
    return type(grammar_language()).from_string("S -> 'a' [0.5] | 'a' S [0.3] | 'b' S 'c' [0.2]", 4)


@pytest.mark.parametrize("name", NAMES)
def test_shapes(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language, deviation=0.1), padded_sentences(language)
    read, V = model.whole(tokens), language.vocab_size
    assert (model.causal, model.num_classes, model.cls_id) == (True, V + 1, language.cls_id) == (True, 5, 6)
    assert torch.equal(read[:, 1:], tokens)
    assert (read[:, 0] == V + 2).all()
    assert model.features(read).shape == (*read.shape, model.feature_size)
    assert model(read).shape == (*read.shape, V + 1)
    assert model.logits_at(read, torch.tensor([3, 3, 0]), torch.tensor([0, int(lengths[3]), 0])).shape == (3, V + 1)
    longest = torch.zeros(2, language.max_length, dtype=torch.long)
    assert model(model.whole(longest)).shape == (2, language.max_length + 1, V + 1)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_other_network_reads_both_sides(name):
    language = grammar_language()
    model, (tokens, _) = build_model(name, language), padded_sentences(language)
    assert not model.causal
    assert model.num_classes == language.vocab_size
    assert torch.equal(model.whole(tokens), tokens)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_later_has_no_influence_and_what_stands_before_has(name):
    language = demo_hmm()
    model = shaken(name, language, deviation=0.1 if name.endswith("128") else 0.4)
    tokens = model.whole(torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]]))
    before = model(tokens)
    for t in range(9):
        other = tokens.clone()
        other[0, t] = 8
        after = model(other)
        assert torch.equal(after[:, :t], before[:, :t]), t
        assert (after[:, t:] - before[:, t:]).abs().amax((0, 2)).min() > 1e-5, t
        assert (model(tokens[:, : t + 1]) - before[:, : t + 1]).abs().max() < 1e-12, t


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_is_read_the_same_alone_and_among_others_and_with_any_padding(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language, deviation=0.2), padded_sentences(language)
    together = model(model.whole(tokens))
    wide = model(F.pad(model.whole(tokens), (0, language.max_length - tokens.shape[1]), value=language.pad_id))
    assert torch.isfinite(wide).all()
    for row, length in enumerate(lengths.tolist()):
        alone = model(model.whole(tokens[row : row + 1, :length]))[0]
        assert gap(alone, together[row, : length + 1]) < 1e-11
        assert gap(alone, wide[row, : length + 1]) < 1e-11


def test_features_of_whole_sentences_stand_after_each_word():
    language = grammar_language()
    model, (tokens, lengths) = shaken("gpt-2x16", language), padded_sentences(language)
    found = concatenated_features(model, Sentences(tokens, lengths))
    assert found.shape == (len(tokens), tokens.shape[1] * 16)
    blocks = found.unflatten(1, (-1, 16))
    cls = torch.full_like(tokens[:, :1], language.cls_id)
    expected = model.features(torch.cat([cls, tokens], 1))[:, 1:]
    keep = inside(lengths, tokens.shape[1])
    assert gap(blocks[keep], expected[keep]) < 1e-12
    assert (blocks[~keep] == 0).all()


def test_the_end_is_tied_to_the_embedding_of_padding():
    language = grammar_language()
    model, (tokens, lengths) = shaken("gpt-1x16", language), padded_sentences(language)
    read = model.whole(tokens)
    keep = inside(lengths + 1, read.shape[1])
    features, before = model.features(read)[keep], model(read)[keep]
    with torch.no_grad():
        model.words.embedding.weight[language.pad_id] += 0.5
    change = model(read)[keep] - before
    assert gap(change[:, -1], 0.5 * features.sum(-1)) < 1e-12
    assert change[:, :-1].abs().max() < 1e-12


def test_it_is_a_distribution_over_sentences():
    """f(all sentences of at most 2 words) + f(all beginnings of 3 words) = 1, each by the losses of a batch."""
    language = grammar_language()
    model, V = shaken("gpt-2x16", language), language.vocab_size
    total = 0.0
    for length in (1, 2, 3):
        tokens = torch.tensor(list(itertools.product(range(V), repeat=length)))
        batch = next_words(Sentences(tokens, torch.full((len(tokens),), length)), V, V + 2)
        log_f = -F.cross_entropy(
            model.logits_at(batch.inputs, batch.rows, batch.positions), batch.targets, reduction="none"
        )
        steps = log_f.reshape(len(tokens), length + 1)
        total += (steps if length < 3 else steps[:, :3]).sum(1).exp().sum()
    empty = model(torch.tensor([[V + 2]]))[0, 0].softmax(0)[V]
    assert abs(float((total + empty).detach()) - 1) < 1e-12


def test_loss_and_kl_are_their_formulas():
    language = grammar_language()
    model, held_out = shaken("gpt-1x16", language), evaluation_set(language, 30, 1, "next")
    batch = held_out.batch
    log_f = model(batch.inputs).log_softmax(-1)
    terms, divergences = [], []
    for row in range(30):
        words = [token for token in batch.inputs[row, 1:].tolist() if token != language.pad_id]
        truth = language.next_word(torch.tensor([words]))[0]
        terms += [-log_f[row, t, word] for t, word in enumerate([*words, language.pad_id])]
        for t in range(len(words) + 1):
            p = truth[t]
            divergences.append((p * (p.clamp(min=1e-300).log() - log_f[row, t])).sum())
    assert gap(masked_loss(model, batch), torch.stack(terms).mean()) < 1e-12
    kl = kl_to_truth(model, held_out)
    assert abs(kl.value - float(torch.stack(divergences).detach().mean())) < 1e-12
    assert kl.n == 30


def trained(model, loss_at, steps=300, lr=1e-2):
    """The model after so many steps of AdamW on loss_at(step), warmed up and annealed."""
    optimizer = torch.optim.AdamW(model.parameters(), lr, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.1, cycle_momentum=False)
    for step in range(1, steps):
        optimizer.zero_grad()
        loss_at(step).backward()
        optimizer.step()
        schedule.step()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_hmm, small_grammar])
def test_training_on_the_truth_brings_it_to_the_next_word(make):
    language = make()
    model, held_out = build_model("gpt-2x32", language), evaluation_set(language, 300, 1, "next")
    exact = evaluation_set(language, 128, 2, "next")
    batch, truth = exact.batch, exact.truth.float()
    assert kl_to_truth(model, held_out).value > 0.3

    def loss(step):
        return F.cross_entropy(model.logits_at(batch.inputs, batch.rows, batch.positions), truth)

    assert 0 < kl_to_truth(trained(model, loss), held_out).value < 2e-3


def test_training_on_sampled_words_brings_it_near_the_next_word():
    language = tiny_hmm()
    model, stream = build_model("gpt-1x16", language), Stream(language, 64, 1, "next")
    trained(model, lambda step: masked_loss(model, stream.batch(step)))
    assert kl_to_truth(model, evaluation_set(language, 300, 1, "next")).value < 5e-3


# ---- flatness


@pytest.mark.parametrize("name", ["gpt-1x16", "gpt-2x16"])
def test_vectorised_gradients_are_those_of_one_context_after_the_other(name):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 6, 1, "next").batch(1)
    found = []
    for vectorised in (True, False):
        model.per_example_gradients = vectorised
        found.append(sampled_gradient.block_traces(model, batch, 2, generator(3)))
    one, other = found
    assert one.keys() == other.keys() == {"embedding", "position", "weight", "bias", "norm"}
    for block in one:
        assert one[block].shape == (len(batch.rows),)
        assert (one[block] - other[block]).abs().max() < 1e-10 * other[block].max()
        assert one[block].max() > 0


def test_the_trace_is_that_of_the_gauss_newton_matrix():
    """Over all beginnings of all sentences: E sum_t / E (T + 1)."""
    language = tiny_hmm()
    model, T = shaken("gpt-1x8", language, deviation=0.3), language.max_length
    tokens = torch.tensor(list(itertools.product(range(language.vocab_size), repeat=T)))
    batch = next_words(Sentences(tokens, torch.full((len(tokens),), T)), language.pad_id, language.cls_id)
    weights = language.log_prob(tokens).exp()[batch.rows] / (T + 1)
    exact = sum(gauss_newton(model, Contexts(batch, weights, exact_truth(language, batch, "next"))).values())
    found = hessian_trace(model, language.sample(700, generator(0)), seed=1, masking="next")
    assert found.n == 700
    assert abs(found.value - exact) < 4 * found.stderr
    assert found.stderr < 0.05 * exact


# ---- which masking goes with it


def test_default_masking():
    assert [default_masking(name) for name in ("gpt-2x64", "bert-2x64", "bert-post-1x16", "lstm-1x8", "lookup")] == [
        "next",
        "one",
        "one",
        "one",
        "one",
    ]


@pytest.mark.parametrize("name", [*NETWORKS, "lookup", "gpt-1x16"])
@pytest.mark.parametrize("masking", ["one", "bernoulli", "bernoulli:0.4", "next"])
def test_a_masking_that_is_not_the_models_is_refused(name, masking):
    model = build_model(name, tiny_hmm())
    check_masking(model, default_masking(name))
    if (masking == "next") == name.startswith("gpt"):
        check_masking(model, masking)
        return
    with pytest.raises(InputError, match=f"masking '{masking}': model '{name}' .*expected masking") as raised:
        check_masking(model, masking)
    assert "\n" not in str(raised.value)
    if name != "lookup":
        with pytest.raises(InputError, match=f"masking '{masking}': model"):
            hessian_trace(model, tiny_hmm().sample(4, generator(0)), masking=masking)


@pytest.mark.parametrize("masking", ["nxt", "next:0.5", "two", "bernoulli:2"])
def test_a_masking_nobody_knows_is_refused_first(masking):
    for name in ("gpt-1x16", "bert-1x16"):
        with pytest.raises(InputError, match=r"unknown masking|expected bernoulli:p"):
            check_masking(build_model(name, tiny_hmm()), masking)
