"""Language: text whose true conditional probabilities are known, and what follows from them for all languages alike."""

import copy
import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from ..errors import InputError
from ..estimate import Estimate
from . import masking as masks
from .sentences import Sentences, as_integers
from .tasks import Task, listed_tasks
from .vocabulary import CLS, MASK, PAD

MEMORY_BUDGET = 2**27
"""Float64 numbers that one exact pass may hold at a time (1 GiB); larger batches are cut into chunks."""

SAMPLE_CHUNK = 4096
"""Sentences sampled at a time where an average over many is asked for."""


class Language(ABC):
    """A distribution over sentences of at most max_length words, with exact conditionals.

    words: the vocabulary, V strings. length_log_prob [max_length + 1]: log p(T = length), -inf for a length that no
    sentence has. suffix: of the file that `save` writes.
    """

    words: tuple[str, ...]
    max_length: int
    length_log_prob: Tensor
    suffix: str
    positions_share_passes = True
    """Whether the conditionals at all positions cost about what they cost at one."""

    @property
    def vocab_size(self) -> int:
        return len(self.words)

    @property
    def pad_id(self) -> int:
        """The token after a sentence's end."""
        return self.vocab_size + PAD

    @property
    def mask_id(self) -> int:
        """The token that models read at a hidden position."""
        return self.vocab_size + MASK

    @property
    def cls_id(self) -> int:
        """The token that a model reading from left to right reads before the first word."""
        return self.vocab_size + CLS

    @property
    def device(self) -> torch.device:
        return self.length_log_prob.device

    # ---- what a concrete language implements

    @abstractmethod
    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """num_sentences independent sentences, on the language's device (the generator must be on it too).

        latents=False leaves out what `tasks` need and training does not.
        """

    @abstractmethod
    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log p(x) [n] in nats, float64, the length included; -inf for a sentence the language cannot produce.

        Raises InputError for a token that is not a word.
        """

    @abstractmethod
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        """What `conditional` returns, for arguments that `checked` has checked and filled in.

        Raises:
            InputError: as `conditional`, except for what `checked` refuses.
        """

    def conditional_rows(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        """What `conditional_at` returns, for arguments that `checked` has checked and filled in."""
        return self.conditional_table(tokens, lengths, hidden, dtype)[hidden]

    @abstractmethod
    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """p(x_{t+1} | x_1 .. x_t) for t = 0 .. T, [n, T + 1, V + 1] float64; column V (pad_id) is the sentence's end.

        The chain rule: log p(x) is the sum over t of the log of row t at the word that follows, the end included. Rows
        beyond a sentence's length are 0. A sentence may be unfinished: only its words are read, nothing is assumed of
        how it goes on.

        Raises InputError for a token that is not a word, and for words that no sentence begins with.
        """

    @abstractmethod
    def floats_per_sentence(self, length: int) -> int:
        """About how many float64 numbers an exact pass over one sentence of this length holds."""

    @abstractmethod
    def save(self, path: str) -> str:
        """Writes the language to path plus its suffix, for load_language to give it back bit for bit; the full path."""

    # ---- what follows for all of them

    def conditional(
        self,
        tokens: Tensor,
        lengths: Tensor | None = None,
        hidden: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """p(x_t = v | the visible words other than the one at t, T); 0 beyond a sentence's end.

        The conditional at a visible position leaves out the word there. With nothing hidden it is p(x_t = v | x_-t).

        Args:
            tokens: [n, T] integers; what stands at hidden positions is not read.
            lengths: [n]; unless given, a sentence ends before its first pad_id.
            hidden: [n, T] bool; the words there are unknown, and the conditionals sum over them. None hides nothing.
            dtype: of the result; a language may compute in it too where that is faster.

        Returns:
            [n, T, V].

        Raises:
            InputError: for a token that is no word, a length that no sentence has, and a sentence that is impossible
                given its visible words.
        """
        return self.conditional_table(*self.checked(tokens, lengths, hidden), dtype)

    def conditional_at(
        self, tokens: Tensor, lengths: Tensor | None, hidden: Tensor, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """The conditionals [m, V] at the m hidden positions alone, in row-major order; see `conditional`."""
        return self.conditional_rows(*self.checked(tokens, lengths, hidden), dtype)

    @cached_property
    def own_tasks(self) -> Mapping[str, Task]:
        """name -> task of satlab's own kinds that the language supports: those of which corpora hold the labels."""
        return listed_tasks(self, built_in=True)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """name -> task: `own_tasks`, then those of kinds that plug-ins have registered, under names that are left."""
        return {
            **self.own_tasks,
            **{k: v for k, v in listed_tasks(self, built_in=False).items() if k not in self.own_tasks},
        }

    def fingerprint(self) -> str:
        """SHA-256 of the file that `save` writes: equal for languages that are equal to the last bit."""
        with tempfile.TemporaryDirectory() as folder:
            return hashlib.sha256(Path(self.save(f"{folder}/language")).read_bytes()).hexdigest()

    def loss_floor(
        self,
        num_sentences: int,
        generator: torch.Generator,
        masking: str = "one",
        on_sentences: Callable[[int], object] = lambda done: None,
    ) -> Estimate:
        """The entropy of the truth, E H(p(x_t | visible words)) in nats: the least loss any model can reach.

        n = num_sentences sampled sentences. With one word hidden the mean over its position is taken exactly, unless
        positions_share_passes is False: then the position is drawn. With masking "next" it is the entropy of a sentence
        over its predictions, E sum_t H(p(x_t | x_<t)) / E (T + 1), t = 0 .. T, the end at T included.
        on_sentences(k) is called when k more sentences are done.
        Raises InputError for an unknown masking, and for one that hides nothing here.
        """
        sums, counts = [], []
        chunk = max(1, min(SAMPLE_CHUNK, MEMORY_BUDGET // (4 * self.max_length * self.vocab_size)))
        chunk = chunk if self.positions_share_passes or masking == masks.NEXT else 1
        for begin in range(0, num_sentences, chunk):
            size = min(chunk, num_sentences - begin)
            entropies, predictions = self._entropies(self.sample(size, generator, latents=False), masking, generator)
            sums.append(entropies)
            counts.append(predictions)
            on_sentences(size)
        if float(torch.cat(counts).sum()) == 0:
            raise InputError(f"masking '{masking}' hid no word in {num_sentences} sentences; take more, or hide more")
        return Estimate.from_ratio(torch.cat(sums), torch.cat(counts))

    def _entropies(self, sentences: Sentences, masking: str, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(sum of the truth's entropies, number of predictions) of each sentence, [n] each."""
        tokens, lengths = sentences.tokens, sentences.lengths
        if masking == masks.NEXT:
            return torch.special.entr(self.next_word(tokens, lengths)).sum((1, 2)), (lengths + 1).double()
        if masking == "one" and self.positions_share_passes:
            # Leaving out the word at t is hiding it, so one pass over the whole sentence serves every position.
            entropy = torch.special.entr(self.conditional(tokens, lengths)).sum(-1)
            mean = entropy.sum(1) / lengths
            return mean, torch.ones_like(mean)
        hidden = masks.hide(lengths, tokens.shape[1], masking, generator)
        entropy = torch.special.entr(self.conditional_at(tokens, lengths, hidden)).sum(-1)
        per_row = torch.zeros(len(tokens), dtype=torch.float64, device=self.device)
        return per_row.index_add(0, hidden.nonzero()[:, 0], entropy), hidden.sum(1).double()

    def to(self, device: torch.device | str) -> Self:
        """The same language with its numbers on another device."""
        moved = copy.copy(self)
        kept = {name: value for name, value in self.__dict__.items() if not _is_cached(type(self), name)}
        moved.__dict__ = {name: _moved(value, device) for name, value in kept.items()}
        return moved

    def decode(self, sentences: Sentences) -> list[str]:
        """The sentences as text, words separated by blanks."""
        rows = zip(sentences.tokens.tolist(), sentences.lengths.tolist(), strict=True)
        return [" ".join(self.words[token] for token in row[:length]) for row, length in rows]

    def checked(self, tokens: Tensor, lengths: Tensor | None, hidden: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """(tokens, lengths, hidden) on the language's device, lengths and hidden filled in where not given.

        tokens and lengths may be integers of any width, as a corpus stores them, in tensors or arrays. Raises InputError
        for other dtypes and shapes, a word that is not in the vocabulary at a visible position, and an empty sentence.
        """
        tokens = as_integers("tokens", tokens, self.device)
        if tokens.dim() != 2:
            raise InputError(f"tokens have shape {list(tokens.shape)}, expected [sentences, T]; add a dimension")
        lengths = (tokens != self.pad_id).sum(1) if lengths is None else as_integers("lengths", lengths, self.device)
        hidden = torch.zeros_like(tokens, dtype=torch.bool) if hidden is None else _mask(hidden).to(self.device)
        for name, given, shape in (("lengths", lengths, tokens.shape[:1]), ("hidden", hidden, tokens.shape)):
            if given.shape != shape:
                raise InputError(f"{name} has shape {list(given.shape)}, expected {list(shape)}; give one for each")
        inside = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        hidden = hidden & inside
        if bool((lengths > tokens.shape[1]).any()):
            row = int((lengths > tokens.shape[1]).nonzero()[0])
            raise InputError(
                f"sentence {row} has length {int(lengths[row])}, expected at most {tokens.shape[1]} tokens"
            )
        if bool((lengths < 1).any()):
            raise InputError(f"sentence {int((lengths < 1).nonzero()[0])} is empty, expected at least one word")
        wrong = inside & ~hidden & ((tokens < 0) | (tokens >= self.vocab_size))
        if bool(wrong.any()):
            row, column = wrong.nonzero()[0].tolist()
            raise InputError(
                f"sentence {row}, position {column}: token {int(tokens[row, column])} is no word, "
                f"expected 0 to {self.vocab_size - 1}; mark hidden positions in `hidden`"
            )
        return tokens, lengths, hidden

    def checked_beginnings(self, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """(tokens, lengths) of sentences that may go on, as `checked`; also raises InputError for one too long."""
        tokens, lengths, _ = self.checked(tokens, lengths, None)
        if bool((lengths > self.max_length).any()):
            row = int((lengths > self.max_length).nonzero()[0])
            raise InputError(
                f"sentence {row} has {int(lengths[row])} words, expected at most {self.max_length}; cut it"
            )
        return tokens[:, : self.max_length], lengths

    def chunks(self, lengths: Tensor) -> Iterator[tuple[Tensor, int]]:
        """(row numbers, their common length), within the memory budget."""
        for length in lengths.unique().tolist():
            for rows in (lengths == length).nonzero()[:, 0].split(self.chunk_size(length)):
                yield rows, length

    def chunk_size(self, length: int) -> int:
        """How many sentences of this length one pass may hold."""
        return max(1, MEMORY_BUDGET // max(1, self.floats_per_sentence(length)))

    def check_lengths(self, lengths: Tensor) -> None:
        """`check_length` of all of them."""
        for length in lengths.unique().tolist():
            self.check_length(length, (lengths == length).nonzero()[:, 0])

    def check_length(self, length: int, rows: Tensor) -> None:
        """Raises InputError, naming the first of the rows, for a length that no sentence has."""
        known = self.length_log_prob > -torch.inf
        if length >= len(known) or not bool(known[length]):
            lengths = known.nonzero()[:, 0].tolist()
            text = str(lengths[0]) if len(lengths) == 1 else f"between {lengths[0]} and {lengths[-1]}"
            raise InputError(
                f"sentence {int(rows[0])} has {length} words, but no sentence of the language has: "
                f"expected {text}; give sentences of such a length"
            )


def _is_cached(kind: type, name: str) -> bool:
    """Whether an attribute is a cached_property, which is made anew on another device."""
    return isinstance(getattr(kind, name, None), cached_property)


def _mask(hidden: Any) -> Tensor:
    mask = torch.as_tensor(hidden)
    if mask.dtype != torch.bool:
        raise InputError(f"hidden is {mask.dtype}, expected torch.bool; compare it, as in hidden != 0")
    return mask


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, (tuple, list)):
        return type(value)(_moved(item, device) for item in value)
    return value.to(device) if hasattr(value, "to") else value
