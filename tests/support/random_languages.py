"""Random small languages, the same ones on every run: HMMs as arrays and PCFGs as text in NLTK's notation."""

import functools
import math

import numpy as np

from support.oracles import enumerated

NUM_HMMS, NUM_PCFGS = 24, 28
NONTERMINALS = ("S", "A", "B", "C", "D")
WORDS = ("a", "B", "c")
"""The word B has the same name as a nonterminal."""


def stochastic(rng, rows, columns, zeros):
    """Random rows of probabilities of which about this share are hard zeros."""
    matrix = rng.dirichlet(np.ones(columns), size=rows)
    dead = rng.random((rows, columns)) < zeros
    dead[np.arange(rows), rng.integers(columns, size=rows)] = False
    matrix = np.where(dead, 0.0, matrix)
    return matrix / matrix.sum(1, keepdims=True)


def random_hmm_arrays(seed):
    """(initial, transition, emission, length): 2-4 states, 2-4 words, length 1-5; every third one in 2 blocks."""
    rng = np.random.default_rng([seed, 1])
    length = 1 + seed % 5
    zeros = (0.0, 0.3, 0.5)[seed % 3]
    words = int(rng.integers(2, 5 if length < 5 else 4))
    if seed % 3 == 2:
        states = 4
        transition = stochastic(rng, 4, 2, zeros).reshape(2, 2, 2)
    else:
        states = int(rng.integers(2, 5))
        transition = stochastic(rng, states, states, zeros)
    return stochastic(rng, 1, states, zeros)[0], transition, stochastic(rng, states, words, zeros), length


def random_pcfg_text(seed):
    """(text, max_length), drawn until every symbol is reachable and ends in time, and there are several strings."""
    rng = np.random.default_rng([seed, 2])
    max_length = 1 + seed % 6
    while True:
        rules = _random_rules(rng, max_length)
        if _is_valid(rules, max_length):
            text = _as_text(rules)
            strings = enumerated(text, max_length).probabilities
            if len(strings) >= 4 * max_length - 2:
                return text, max_length


def _random_rules(rng, max_length):
    """{symbol: [(right-hand side, 64ths of probability)]}; words in a right-hand side carry their quotes."""
    symbols = NONTERMINALS[: rng.integers(2, 6)]
    words = WORDS[: rng.integers(2, 4 if max_length < 5 else 3)]
    shapes = [0.35, 0.25, 0.2, 0.1, 0.1] if max_length > 1 else [0.6, 0.4, 0, 0, 0]
    rules = {}
    for symbol in symbols:
        right_sides = {}
        for _ in range(rng.integers(2, 6)):
            shape = rng.choice(5, p=shapes)
            if shape == 0:
                right = (f"'{rng.choice(words)}'",)
            elif shape == 1:
                right = (str(rng.choice(symbols)),)
            else:
                pool = [*symbols, *symbols, *(f"'{word}'" for word in words)]
                right = tuple(str(rng.choice(pool)) for _ in range(shape))
            right_sides[right] = 0
        cuts = np.sort(rng.integers(0, 65, size=len(right_sides) - 1))
        shares = np.diff([0, *cuts, 64])
        rules[symbol] = list(zip(right_sides, shares.tolist(), strict=True))
    return rules


def _is_valid(rules, max_length):
    used, todo = {"S"}, ["S"]
    while todo:
        for right, share in rules[todo.pop()]:
            fresh = {s for s in right if share and s[0] != "'"} - used
            used |= fresh
            todo += fresh
    least = dict.fromkeys(rules, math.inf)
    for _ in range(len(rules) + 1):
        for symbol, options in rules.items():
            totals = [sum(1 if s[0] == "'" else least[s] for s in right) for right, share in options if share]
            least[symbol] = min(least[symbol], *totals)
    words = {s for options in rules.values() for right, share in options if share for s in right if s[0] == "'"}
    return used == set(rules) and max(least.values()) <= max_length and len(words) > 1


def _as_text(rules):
    lines = []
    for symbol, options in rules.items():
        lines.append(f"{symbol} -> " + " | ".join(f"{' '.join(right)} [{share / 64}]" for right, share in options))
    return "\n".join(lines)


NAMED_PCFGS = {
    "beyond-criticality": ("S -> S S [0.7] | 'a' [0.2] | 'b' [0.1]", 6),
    "self-loop": ("S -> S [0.5] | S S [0.25] | 'a' [0.25]", 5),
    "unary-cycle": (
        "S -> A [0.6] | A S [0.2] | 'a' [0.2]\nA -> B [0.7] | 'b' [0.3]\nB -> A [0.5] | S [0.1] | 'a' 'b' [0.4]",
        5,
    ),
    "long-rules": (
        "S -> A 'x' B A [0.5] | A B A [0.3] | A [0.2]\nA -> 'a' [0.5] | 'x' [0.5]\nB -> 'a' [0.4] | A A [0.6]",
        6,
    ),
    "single-word": ("S -> A [0.25] | B [0.75]\nA -> 'a' [0.5] | 'b' [0.5]\nB -> 'b' [1.0]", 3),
    "gaps-in-length": ("S -> 'a' 'a' 'a' [0.5] | S S [0.3] | 'b' [0.2]", 6),
    "no-unary-rule": ("S -> A S [0.5] | 'a' [0.5]\nA -> 'b' [0.75] | S A [0.25]", 4),
    "words-only": ("S -> 'a' [0.125] | 'b' [0.875]", 1),
}
"""name -> (text, max_length); the cases that random drawing could miss."""


@functools.cache
def all_pcfgs():
    """{name: (text, max_length)}."""
    return NAMED_PCFGS | {f"random-{seed}": random_pcfg_text(seed) for seed in range(NUM_PCFGS)}
