"""Exact probabilities of a language against those of an enumeration of all its strings."""

import torch

from .words import conditional_table, encode

EXACT = {"rtol": 1e-10, "atol": 1e-10}


def some_of(strings, count, rng):
    """`count` of the strings, drawn without replacement."""
    strings = sorted(strings)
    return [strings[i] for i in rng.permutation(len(strings))[:count]]


def assert_log_prob(language, enumeration, strings, whole=False):
    """log p of each string; `whole`: these are all strings, so their probabilities sum to one."""
    log_prob = language.log_prob(*encode(language, strings))
    expected = torch.tensor([enumeration.log_prob(string) for string in strings], dtype=torch.float64)
    torch.testing.assert_close(log_prob, expected, **EXACT)
    if whole:
        assert abs(float(log_prob.exp().sum()) - 1) < 1e-10


def assert_conditionals(language, enumeration, strings, hidden):
    """The conditionals at all positions, and at the hidden ones alone; what is hidden is not read. They are returned.

    `hidden` is None, a share of the words, or [n, T] bool; nothing beyond a string's end is hidden.
    """
    tokens, lengths = encode(language, strings)
    inside = torch.arange(tokens.shape[1]) < lengths[:, None]
    if isinstance(hidden, float):
        hidden = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(1)) < hidden
    hidden = inside & hidden
    expected = conditional_table(language, enumeration, strings, hidden)
    unseen = torch.where(hidden, language.mask_id, tokens)
    torch.testing.assert_close(language.conditional(unseen, lengths, hidden), expected, **EXACT)
    torch.testing.assert_close(language.conditional_at(unseen, lengths, hidden), expected[hidden], **EXACT)
    return unseen, hidden, expected


def assert_chain_rule(language, tokens, lengths=None):
    """The next words' probabilities multiply to the sentence's, and sum to one at each place."""
    rows = language.next_word(tokens, lengths)
    words = torch.nn.functional.pad(tokens, (0, 1), value=language.pad_id)
    read = (words[:, :-1] != language.pad_id).sum(1) if lengths is None else lengths
    inside = torch.arange(words.shape[1]) <= read[:, None]
    steps = rows.gather(2, words[..., None])[..., 0].log()
    log_prob = torch.where(inside, steps, 0.0).sum(1)
    torch.testing.assert_close(log_prob, language.log_prob(tokens, lengths), rtol=1e-10, atol=1e-9)
    torch.testing.assert_close(rows.sum(2), inside.double(), **EXACT)


def assert_loss_floor(language, enumeration, sentences, seed, masking, most_error):
    """Within 4 standard errors of the entropy by enumeration; the error is at most this share of it."""
    exact = enumeration.floor_one() if masking == "one" else enumeration.floor_bernoulli(float(masking.split(":")[1]))
    estimate = language.loss_floor(sentences, torch.Generator().manual_seed(seed), masking)
    assert estimate.n == sentences
    assert abs(estimate.value - exact) <= 4 * estimate.stderr + 1e-12
    assert estimate.stderr <= most_error * exact
    return estimate
