"""Causal networks as languages: next-token predictors, restricted to V of their tokens and to sentences of one length.

    p(x) = prod_t softmax(logits after bos, x_1 .. x_{t-1} of the kept tokens / temperature)[x_t]

over sentences of exactly T words (Liu et al. 2022, A.1: OPT-125M, its top 2,000 tokens, T = 24). There is no latent
structure to sum over, so an exact conditional needs the score of every filling of the unknown positions:

    p(x_t = v | the visible words) = sum over fillings with x_t = v of p(x) / sum over all fillings of p(x).

The network reads the words before the first unknown position once for all fillings.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ..language import MEMORY_BUDGET, Language
from ..sentences import Sentences
from .next_word import NextWord
from .pretrained import Pretrained, load_pretrained

MAX_FILLINGS = 2**20
"""The largest number of fillings of one sentence that are scored."""


class CausalLM(Language):
    """A Hugging Face causal network over sentences of `length` of its tokens.

    The cost of a sentence, in positions that the network reads, is T for `log_prob`, `sample` and `next_word`. It is
    t + V (T - t) for `conditional_at` with word t = 1 .. T hidden, and the sum of that over all t, about V T^2 / 2, for
    `conditional`. Each further hidden word multiplies the cost by V. `conditional` and `conditional_at` refuse
    sentences with too many fillings. In float32, all these methods agree with one another to about 1e-6.

    Args:
        model: a directory, or an id of the Hugging Face hub.
        length: T, in words.
        words: the number of words: the most frequent tokens by token_counts, or, without counts, those that
            `Pretrained.frequent_tokens` chooses.
        token_ids: instead of `words`, the tokens that are the words, in this order.
        token_counts: token id -> number of occurrences.
        temperature: the divisor of the logits.
        dtype: "float32" or "float64", the precision of the network. Softmax and sums are always float64.
        sha256: the required value of `Pretrained.sha256`; None allows any.

    Raises:
        InputError: for a network that cannot be read or has another sha256, more words than tokens, ids that repeat or
            are not tokens, a length that the network cannot read, and a temperature that is not positive.
    """

    positions_share_passes = False
    suffix = ".yaml"

    def __init__(
        self,
        model: str | Path,
        length: int,
        words: int | None = None,
        token_ids: Sequence[int] | None = None,
        token_counts: Mapping[int, float] | None = None,
        temperature: float = 1.0,
        dtype: str = "float32",
        sha256: str | None = None,
    ) -> None:
        if not (temperature > 0 and math.isfinite(temperature)):
            raise InputError(f"temperature {temperature}: expected a positive number; correct it")
        if (words is None) == (token_ids is None) or (token_ids is not None and token_counts is not None):
            raise InputError("expected either words (with or without token_counts) or token_ids; give one of the two")
        pretrained = load_pretrained(str(model), dtype)
        if sha256 not in (None, pretrained.sha256):
            raise InputError(
                f"model {pretrained.model}: not the network that this language was made from (SHA-256 "
                f"{pretrained.sha256[:12]}, expected {str(sha256)[:12]}); restore that network, or remove the key "
                "sha256"
            )
        if words is not None:
            token_ids = pretrained.frequent_tokens(words, token_counts)
        self.token_ids = list(token_ids or [])
        self.words = _words(pretrained, self.token_ids)
        self.max_length = _readable(pretrained, length)
        self.model, self.sha256, self.dtype = pretrained.model, pretrained.sha256, dtype
        self.temperature = float(temperature)
        self.length_log_prob = torch.full((self.max_length + 1,), -torch.inf, dtype=torch.float64)
        self.length_log_prob[-1] = 0.0
        self.reader = NextWord(pretrained, self.token_ids, temperature)

    @override
    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths, _ = self.checked(tokens, lengths, None)
        out = torch.full((len(tokens),), -torch.inf, dtype=torch.float64, device=self.device)
        for rows, length in self.chunks(lengths):
            if length == self.max_length:
                out[rows] = self.reader.log_fillings(tokens[rows, :length], ())[:, 0]
        return out

    @override
    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths, _ = self.checked(tokens, lengths, None)
        shape = (len(tokens), tokens.shape[1] + 1, self.vocab_size + 1)
        out = torch.zeros(shape, dtype=torch.float64, device=self.device)
        for rows, known in self.chunks(lengths):
            if known > self.max_length:
                self.check_length(known, rows)
            log_next, _ = self.reader.read(self.reader.text(tokens[rows, :known])[:, : self.max_length])
            out[rows, : log_next.shape[1], :-1] = log_next.exp()
            if known == self.max_length:
                out[rows, known, -1] = 1.0
        return out

    @override
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        self.check_lengths(lengths)
        tokens = tokens.masked_fill(hidden, 0)
        self._check_fillings((hidden.sum(1) + 1).clamp(max=self.max_length))
        out = torch.zeros(*tokens.shape, self.vocab_size, dtype=dtype, device=self.device)
        for rows, free in _patterns(hidden):
            if free:
                out[rows[:, None], free] = self._marginals(tokens[rows], free).to(dtype)
            for t in sorted({*range(self.max_length)} - {*free}):
                left_out = sorted([*free, t])
                out[rows, t] = self._marginals(tokens[rows], left_out)[:, left_out.index(t)].to(dtype)
        return out

    @override
    def conditional_rows(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        self.check_lengths(lengths)
        tokens = tokens.masked_fill(hidden, 0)
        self._check_fillings(hidden.sum(1))
        index = (hidden.flatten().cumsum(0) - 1).reshape(hidden.shape)
        out = torch.zeros(int(hidden.sum()), self.vocab_size, dtype=dtype, device=self.device)
        for rows, free in _patterns(hidden):
            if free:
                out[index[rows][hidden[rows]].reshape(len(rows), -1)] = self._marginals(tokens[rows], free).to(dtype)
        return out

    def _marginals(self, tokens: Tensor, free: list[int]) -> Tensor:
        """p(x_t = v | the words that are not free) [n, h, V] float64, for the h free positions t."""
        vocab_size, marginals = self.vocab_size, []
        held = max(vocab_size ** len(free), self.floats_per_sentence(self.max_length))
        for chunk in tokens[:, : self.max_length].split(max(1, MEMORY_BUDGET // held)):
            fillings = self.reader.log_fillings(chunk, free).softmax(1)
            fillings = fillings.reshape(len(chunk), *[vocab_size] * len(free))
            by_position = [fillings.movedim(i + 1, 1) for i in range(len(free))]
            marginals.append(torch.stack([p.reshape(*p.shape[:2], -1).sum(2) for p in by_position], 1))
        return torch.cat(marginals)

    def draw(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """num_sentences independent sentences, drawn word by word. There are no latent variables."""
        shape, at_a_time = (num_sentences, self.max_length), self.reader.rows_at_a_time(self.max_length)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device=self.device)
        tokens = torch.zeros(shape, dtype=torch.long, device=self.device)
        for begin in range(0, num_sentences, at_a_time):
            tokens[begin : begin + at_a_time] = self.reader.draw(uniform[begin : begin + at_a_time])
        return Sentences(tokens, torch.full((num_sentences,), self.max_length, device=self.device))

    def write(self, path: str) -> str:
        """Writes path.yaml: the place of the network, its SHA-256, and the language's settings."""
        content = {"family": "causal", "model": self.model, **self._definition()}
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
        Path(path + self.suffix).write_text(text, encoding="utf-8")
        return path + self.suffix

    def fingerprint(self) -> str:
        """SHA-256 of the settings that `save` writes and of the words, without the place of the network."""
        content = {**self._definition(), "words": self.words}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _definition(self) -> dict[str, Any]:
        """The language's settings and the network's SHA-256."""
        return {
            "length": self.max_length,
            "temperature": self.temperature,
            "dtype": self.dtype,
            "sha256": self.sha256,
            "token_ids": self.token_ids,
        }

    @override
    def floats_per_sentence(self, length: int) -> int:
        return self.reader.floats_per_sentence(length)

    def _check_fillings(self, unknown: Tensor) -> None:
        """Checks the number of fillings of sentences with these numbers of unknown words [n]."""
        for row, number in enumerate(unknown.tolist()):
            if self.vocab_size**number > MAX_FILLINGS:
                raise InputError(
                    f"sentence {row}: {number} unknown words have {self.vocab_size}^{number} fillings for the network "
                    f"to score one by one, expected at most {MAX_FILLINGS:,}; hide fewer words"
                )


def _patterns(hidden: Tensor) -> Iterator[tuple[Tensor, list[int]]]:
    """Yields (rows, hidden positions) for each distinct set of hidden positions: the rows in which these are hidden."""
    patterns, number = hidden.unique(dim=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        yield (number == i).nonzero()[:, 0], pattern.nonzero()[:, 0].tolist()


def _words(pretrained: Pretrained, token_ids: Sequence[int]) -> tuple[str, ...]:
    """The strings of distinct tokens."""
    words, seen = [], set()
    for token_id in token_ids:
        known = type(token_id) is int and 0 <= token_id < len(pretrained.tokens)
        word = pretrained.tokens[token_id] if known else None
        if word is None or token_id in seen:
            problem = f"is not a token of {pretrained.model}" if word is None else "is given twice"
            raise InputError(
                f"token_ids: {token_id!r} {problem}, "
                f"expected different numbers from 0 to {len(pretrained.tokens) - 1}; correct it"
            )
        seen.add(token_id)
        words.append(word)
    if not words:
        raise InputError("token_ids is empty, expected at least one token; add some")
    return tuple(words)


def _readable(pretrained: Pretrained, length: int) -> int:
    """The length, after checking that the network can read that many words."""
    most = pretrained.max_positions
    if length < 1 or (most is not None and length > most):
        expected = "at least 1 word" if most is None else f"1 to {most} words, the positions of {pretrained.model}"
        raise InputError(f"length {length}: expected {expected}; give another length")
    return length
