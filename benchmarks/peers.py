"""What the engines are measured against: the usual ways to get the same numbers, each written as its users write it."""

import random
from collections import defaultdict

import nltk
import torch
from nltk.grammar import Nonterminal
from torch import Tensor

from satlab.generators import PCFG


class DenseInside:
    """The plain batched inside algorithm with dense rules [N, N, N], log Z differentiated by autograd; float64.

    Unary rules S -> A are closed over beforehand. Sentences of one length go together, as many as fit 2 GiB of charts.
    """

    def __init__(self, language: PCFG) -> None:
        n = len(language.symbols)
        closure = language.tables.closure
        self.rules = torch.zeros(n, n, n, dtype=torch.float64)
        for parent, left, right, p in language.rules.binary:
            self.rules[parent, left, right] += p
        self.rules = torch.einsum("ap,pbc->abc", closure, self.rules).reshape(n, n * n)
        self.emission = torch.zeros(n, language.vocab_size, dtype=torch.float64)
        for symbol, word, p in language.rules.lexical:
            self.emission[symbol, word] += p
        self.emission = closure @ self.emission

    def conditional(self, tokens: Tensor) -> Tensor:
        """p(x_t | the others) [n, T, V] for sentences of equal length [n, T]."""
        scores = self.emission.T[tokens].requires_grad_()
        chart = {1: scores}
        for width in range(2, tokens.shape[1] + 1):
            starts = tokens.shape[1] - width + 1
            left = torch.stack([chart[k][:, :starts] for k in range(1, width)], 2)
            right = torch.stack([chart[width - k][:, k : k + starts] for k in range(1, width)], 2)
            pairs = torch.einsum("nskb,nskc->nsbc", left, right).flatten(2)
            chart[width] = pairs @ self.rules.T
        log_z = chart[tokens.shape[1]][:, 0, 0].log()
        gradient = torch.autograd.grad(log_z.sum(), scores)[0]
        joint = gradient @ self.emission
        return joint / joint.sum(-1, keepdim=True)

    def floats_per_sentence(self, length: int) -> int:
        spans = length * (length + 1) // 2
        return spans * (self.rules.shape[1] + 4 * self.rules.shape[0] * length)


def candidate_by_candidate(language: PCFG, tokens: Tensor) -> Tensor:
    """p(x_t | the others) [n, T, V] from one evaluation of the joint for each word in each place: V T inside passes."""
    n, length = tokens.shape
    size = language.vocab_size
    variants = tokens[:, None, None, :].expand(n, length, size, length).clone()
    position = torch.arange(length)
    variants[:, position, :, position] = torch.arange(size)
    return language.log_prob(variants.reshape(-1, length)).reshape(n, length, size).softmax(-1)


class TorchStruct:
    """torch-struct's SentCFG, in which a symbol that branches and also emits is two symbols."""

    def __init__(self, language: PCFG) -> None:
        names = range(1, len(language.symbols))
        branching = sorted({parent for parent, *_ in language.rules.binary})
        emitting = sorted({symbol for symbol, *_ in language.rules.lexical})
        assert {0, *branching, *emitting} >= set(names)
        branch = {symbol: i for i, symbol in enumerate(branching)}
        emit = {symbol: len(branching) + i for i, symbol in enumerate(emitting)}
        size = len(branching) + len(emitting)
        rules = torch.full((len(branching), size, size), -1e9)
        for parent, left, right, p in language.rules.binary:
            for b in (branch.get(left), emit.get(left)):
                for c in (branch.get(right), emit.get(right)):
                    if b is not None and c is not None:
                        rules[branch[parent], b, c] = torch.tensor(p).log()
        roots = torch.full((len(branching),), -1e9)
        for _, child, p in language.rules.unary:
            roots[branch[child]] = torch.tensor(p).log()
        self.rules, self.roots = rules, roots
        self.emission = language.emission[[language.tables.leaf_symbols.index(s) for s in emitting]].float()

    def marginals(self, tokens: Tensor) -> Tensor:
        """The posterior of the emitting symbols [n, T, emitting]: what the conditionals are made from."""
        import torch_struct

        n = len(tokens)
        terms = self.emission.T[tokens].clamp_min(1e-30).log()
        rules, roots = self.rules.expand(n, *self.rules.shape), self.roots.expand(n, -1)
        lengths = torch.full((n,), tokens.shape[1])
        return torch_struct.SentCFG((terms, rules, roots), lengths=lengths).marginals[0]


def recursive_sampler(language: PCFG, num_sentences: int, seed: int) -> list[list[str]]:
    """Sentences drawn top-down by recursion over nltk's productions, rejected where they exceed max_length."""
    choices: dict[Nonterminal, tuple[list, list[float]]] = {}
    grouped = defaultdict(list)
    grammar: nltk.PCFG = language.to_nltk()
    for production in grammar.productions():
        grouped[production.lhs()].append(production)
    for symbol, productions in grouped.items():
        choices[symbol] = ([p.rhs() for p in productions], [p.prob() for p in productions])
    draw = random.Random(seed).choices

    def expand(symbol: object, out: list[str]) -> None:
        if not isinstance(symbol, Nonterminal):
            out.append(str(symbol))
            return
        right_sides, weights = choices[symbol]
        for part in draw(right_sides, weights)[0]:
            expand(part, out)

    sentences: list[list[str]] = []
    while len(sentences) < num_sentences:
        words: list[str] = []
        expand(grammar.start(), words)
        if len(words) <= language.max_length:
            sentences.append(words)
    return sentences
