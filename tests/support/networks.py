"""Small languages, and models whose weights are so large that nothing in them is nearly linear or nearly uniform."""

import torch

from satlab.generators import PCFG, load_language, random_hmm
from satlab.models import build_model
from support.words import generator

NETWORKS = ("bert-1x16", "bert-2x16", "bert-post-2x16", "lstm-1x16", "lstm-2x8", "lstm-residual-2x8")

GRAMMAR = "S -> S S [0.25] | 'a' [0.25] | 'b' S 'c' [0.25] | A 'd' [0.25]\nA -> 'a' [0.5] | A 'b' [0.5]"
GRAMMAR_LENGTH = 7


def grammar_language():
    """Sentences of 1 to 7 words, so that batches have padding."""
    return PCFG.from_string(GRAMMAR, GRAMMAR_LENGTH)


def tiny_hmm(words=3, length=3):
    """A language whose sentences can all be listed."""
    return random_hmm(3, words, length, generator(5), emission_concentration=0.7, shared_words=True)


def demo_hmm():
    return load_language("demo-hmm")


def shaken(name, language, seed=0, dropout=0.0, deviation=0.4, dtype=torch.float64):
    """A model with normal noise added to every one of its parameters, biases and norms too, in evaluation mode."""
    model = build_model(name, language, seed, dropout).to(dtype)
    noise = generator(seed + 100)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += deviation * torch.randn(parameter.shape, generator=noise, dtype=torch.float64).to(dtype)
    return model.eval()


def padded_sentences(language, count=12, seed=3):
    """(tokens [n, T], lengths [n]) of sampled sentences, of at least three different lengths."""
    sentences = language.sample(count, generator(seed), latents=False)
    assert len(sentences.lengths.unique()) >= 3
    return sentences.tokens, sentences.lengths


def inside(lengths, width):
    return torch.arange(width) < lengths[:, None]


def same_weights(one, other):
    """Whether two mappings name -> tensor agree to the last bit."""
    return one.keys() == other.keys() and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


def gap(one, other):
    """The largest difference between two tensors of the same shape, 0 where they are empty; nan counts as infinite."""
    assert one.shape == other.shape
    difference = (one - other).detach().abs().nan_to_num(nan=torch.inf)
    return float(difference.max()) if difference.numel() else 0.0
