"""The ambiguity of a grammar's sentences: H(tree | sentence), and the number of trees of a sentence.

    H(tree | sentence) = E[log p(words) - log p(tree, words)]

Both terms are exact on each sample, so an unambiguous grammar gives 0 without error. Together with the exact H(tree),
this gives H(sentence) = H(tree) - H(tree | sentence).

To count trees, the same rules get probabilities that make all trees of T words equally likely:

    p'(A -> rhs) = prod_{s in rhs} g(s) / g(A),    g(word) = z,  g(A) = sum_{A -> rhs} prod_{s in rhs} g(s).

Then p'(tree) = z^T / g(S), and the inside algorithm counts: x has g(S) z^-T p'(x) trees. g is the generating function
of the number of trees (Flajolet and Sedgewick 2009, chapter I). Any z > 0 within its radius of convergence works.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ...estimate import Estimate
from ..sentences import Sentences
from .branching import QuadraticSystem
from .grammar import Grammar
from .language import PCFG
from .rules import Nonterminal, ProbabilisticProduction
from .statistics import merged
from .trees import tree_log_prob

HALVINGS = 2000
"""The number of times that z is halved, starting from 1, before the search for a finite g gives up."""


@dataclass(frozen=True)
class Ambiguity:
    """The ambiguity of a language's sentences, estimated from a sample.

    Args:
        tree_given_sentence: H(tree | sentence), nats.
        log_trees: E log(number of trees), nats. The trees of each sampled sentence are counted exactly. None if unary
            rules form a cycle, so that a sentence can have infinitely many trees.
        ambiguous: the fraction of sentences with more than one tree; None likewise.
    """

    tree_given_sentence: Estimate
    log_trees: Estimate | None
    ambiguous: Estimate | None


def ambiguity(language: PCFG, sentences: Sentences) -> Ambiguity:
    """The ambiguity of sentences that were sampled from the language with their trees.

    Args:
        language: the grammar.
        sentences: its sample, with latents["nodes"].

    Returns:
        Means over the sample, with standard errors.

    Raises:
        InputError: for sentences without trees.
    """
    log_prob = language.log_prob(sentences.tokens, sentences.lengths)
    entropy = Estimate.from_samples(log_prob - tree_log_prob(language, sentences))
    counts = log_number_of_trees(language, sentences)
    if counts is None:
        return Ambiguity(entropy, None, None)
    # One tree gives 0 and two give log 2. Rounding errors are far smaller than this gap.
    several = Estimate.from_samples((counts > math.log(1.5)).double())
    return Ambiguity(entropy, Estimate.from_samples(counts), several)


def log_number_of_trees(language: PCFG, sentences: Sentences) -> Tensor | None:
    """log of the number of trees of each sentence [n], -inf for none. None if unary rules form a cycle."""
    rules = merged(language.rules)
    if _has_cycle([(parent, child) for parent, child, _ in rules.unary], len(rules.symbols)):
        return None
    counting = replace(
        rules,
        unary=[(parent, child, 1.0) for parent, child, _ in rules.unary],
        binary=[(parent, left, right, 1.0) for parent, left, right, _ in rules.binary],
        lexical=[(parent, word, 1.0) for parent, word, _ in rules.lexical],
    )
    system, log_z = QuadraticSystem.of_rules(counting), 0.0
    g = system.least_solution()
    while g is None and log_z > -HALVINGS * math.log(2):
        log_z -= math.log(2)
        g = replace(system, constant=system.constant * math.exp(log_z)).least_solution()
    if g is None:
        return None
    grammar = _equally_likely(language.grammar, np.log(g), log_z)
    equal = PCFG(grammar, language.max_length, spans={})
    tokens = _in_words_of(equal, language)[sentences.tokens]
    normaliser = torch.stack([equal.log_normaliser(length) for length in range(language.max_length + 1)])
    log_z_of_x = equal.log_prob(tokens, sentences.lengths) + normaliser[sentences.lengths]
    return log_z_of_x + float(np.log(g[0])) - sentences.lengths.double() * log_z


def _equally_likely(grammar: Grammar, log_g: np.ndarray, log_z: float) -> Grammar:
    """The same rules with p'(A -> rhs) = prod_{s in rhs} g(s) / g(A)."""
    value = dict(zip(grammar.nonterminals, log_g.tolist(), strict=False))

    def probability(parent: Nonterminal, right: tuple[object, ...]) -> float:
        parts = math.fsum(value[s] if isinstance(s, Nonterminal) else log_z for s in right)
        return math.exp(parts - value[parent])

    different = dict.fromkeys((rule.lhs(), rule.rhs()) for rule in grammar.productions)
    productions = [
        ProbabilisticProduction(parent, right, prob=probability(parent, right)) for parent, right in different
    ]
    return Grammar(grammar.start, tuple(productions))


def _in_words_of(equal: PCFG, language: PCFG) -> Tensor:
    """The token of `equal` for each token of `language`, including the padding."""
    number = {word: i for i, word in enumerate(equal.words)}
    return torch.tensor([*(number[word] for word in language.words), equal.pad_id], device=language.device)


def _has_cycle(links: list[tuple[int, int]], n: int) -> bool:
    graph = np.zeros((n, n), bool)
    for parent, child in links:
        graph[parent, child] = True
    several = np.bincount(connected_components(graph, connection="strong")[1]).max() > 1
    return bool(several or graph.diagonal().any())
