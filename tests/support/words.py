"""Between words and tokens, and between sampled and exact frequencies."""

import math
from collections import Counter

import torch

CLOCK = {"seconds", "tokens_per_second"}
"""What rows of metrics and results have from the clock."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encode(language, strings):
    """(tokens padded to the longest, lengths) of strings of words; an HMM's words are numbers."""
    number = {word: i for i, word in enumerate(language.words)}
    width = max(map(len, strings))
    rows = [[number[str(word)] for word in s] + [language.pad_id] * (width - len(s)) for s in strings]
    return torch.tensor(rows), torch.tensor([len(s) for s in strings])


def conditional_table(language, enumeration, strings, hidden):
    """The enumeration's conditionals as [n, T, V], with the columns in the language's order of words."""
    table = torch.zeros(len(strings), max(map(len, strings)), language.vocab_size, dtype=torch.float64)
    number = {word: i for i, word in enumerate(language.words)}
    for row, string in enumerate(strings):
        for t in range(len(string)):
            for word, p in enumeration.conditional(string, hidden[row].tolist(), t).items():
                table[row, t, number[str(word)]] = p
    return table


def assert_frequencies(outcomes, probabilities, sigmas=4.5):
    """Each frequency is within `sigmas` binomial standard errors of its probability; impossible outcomes never occur.

    Outcomes expected fewer than 10 times are counted as one.
    """
    counts, n = Counter(outcomes), len(outcomes)
    assert abs(math.fsum(probabilities.values()) - 1) < 1e-10
    assert {outcome for outcome in counts if probabilities.get(outcome, 0.0) == 0.0} == set()
    rare = {outcome for outcome, p in probabilities.items() if p * n < 10}
    cells = [(counts[outcome], p, outcome) for outcome, p in probabilities.items() if outcome not in rare]
    assert len(cells) > 1
    cells.append((sum(counts[o] for o in rare), math.fsum(probabilities[o] for o in rare), "all rare ones"))
    for count, p, outcome in cells:
        bound = sigmas * math.sqrt(n * p * max(1 - p, 0.0)) + (5 if outcome == "all rare ones" else 1e-9)
        assert abs(count - n * p) <= bound, f"{outcome}: {count} of {n}, expected {n * p:.1f} +- {bound:.1f}"


def word_tuples(language, sentences):
    """The sampled sentences as tuples of words."""
    return [tuple(line.split(" ")) for line in language.decode(sentences)]
