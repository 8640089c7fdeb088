"""Language: a distribution over sentences with exact conditionals, and the quantities that follow from them."""

import hashlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from ..errors import InputError
from ..estimate import Estimate
from ..system.replaceable import check_replaceable
from .arguments import check_draw, check_path, check_possible_length, checked_arguments
from .devices import on_device
from .loss_floor import loss_floor
from .sentences import Sentences
from .tasks import Task, listed_tasks
from .vocabulary import CLS, MASK, PAD

MEMORY_BUDGET = 2**27
"""The number of float64 values that one exact pass may hold (1 GiB). Larger batches are split into chunks."""


class Language(ABC):
    """A distribution over sentences of at most max_length words, with exact conditionals.

    Attributes:
        words: the vocabulary, V strings.
        max_length: the largest number of words in a sentence.
        length_log_prob: log p(T = length) [max_length + 1] float64, -inf for a length that no sentence has.
        suffix: the suffix of the file that `save` writes.
    """

    words: tuple[str, ...]
    max_length: int
    length_log_prob: Tensor
    suffix: str
    positions_share_passes = True
    """Whether the conditionals at all positions cost about as much as those at one position."""

    @property
    def vocab_size(self) -> int:
        """V, the number of words."""
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
        """The token before the first word, for models that read from left to right."""
        return self.vocab_size + CLS

    @property
    def device(self) -> torch.device:
        """The device of the language's parameters."""
        return self.length_log_prob.device

    # ---- what a concrete language implements

    @abstractmethod
    def draw(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """Implements `sample` for checked arguments."""

    @abstractmethod
    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log p(x), including the probability of the length.

        Args:
            tokens: [n, T] integers.
            lengths: [n]; unless given, a sentence ends before its first pad_id.

        Returns:
            [n] float64, nats; -inf for a sentence that the language cannot produce.

        Raises:
            InputError: for a token outside the vocabulary.
        """

    @abstractmethod
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        """Implements `conditional` for arguments that `checked` has checked and filled in.

        Raises:
            InputError: as `conditional`, except for the errors that `checked` raises.
        """

    def conditional_rows(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        """Implements `conditional_at` for arguments that `checked` has checked and filled in."""
        return self.conditional_table(tokens, lengths, hidden, dtype)[hidden]

    @abstractmethod
    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """p(x_{t+1} = v | x_1 .. x_t) for t = 0 .. T; column V (pad_id) is the sentence's end.

        By the chain rule, log p(x) is the sum over t of the log of row t at the word that follows, including the end.
        A sentence may be an unfinished prefix: the distribution sums over all its continuations.

        Args:
            tokens: [n, T] integers.
            lengths: [n]; unless given, a sentence ends before its first pad_id.

        Returns:
            [n, T + 1, V + 1] float64; rows beyond a sentence's length are 0.

        Raises:
            InputError: for a token outside the vocabulary, and for words that no sentence begins with.
        """

    @abstractmethod
    def floats_per_sentence(self, length: int) -> int:
        """The approximate number of float64 values that an exact pass holds for one sentence of this length."""

    @abstractmethod
    def write(self, path: str) -> str:
        """Implements `save` for a directory that exists."""

    # ---- the same for all languages

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """Independent sentences.

        Args:
            num_sentences: the number of sentences.
            generator: on the language's device.
            latents: whether to keep the latent variables, which tasks need and training does not.

        Returns:
            Sentences on the language's device.

        Raises:
            InputError: for a number that is negative or not an integer, and for a generator that is not a
                torch.Generator.
        """
        check_draw(num_sentences, generator, least=0)
        return self.draw(num_sentences, generator, latents)

    def save(self, path: str | Path) -> str:
        """Writes the language; `load_language` restores it bit for bit.

        Args:
            path: the path of the file; the suffix may be left out.

        Returns:
            The path with its suffix.

        Raises:
            InputError: for a path without a name, a directory that is missing or not writable, and a path that is
                already a directory, a device or a pipe.
        """
        check_path(path)
        name = str(path).removesuffix(self.suffix)
        check_replaceable(Path(name + self.suffix))
        try:
            return self.write(name)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error}); choose another path") from None

    def conditional(
        self,
        tokens: Tensor,
        lengths: Tensor | None = None,
        hidden: Tensor | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Tensor:
        """p(x_t = v | the visible words other than the one at t, T); 0 beyond a sentence's end.

        The conditional at a visible position ignores the word there. If nothing is hidden, it is p(x_t = v | x_-t).

        Args:
            tokens: [n, T] integers; tokens at hidden positions are not read.
            lengths: [n]; unless given, a sentence ends before its first pad_id.
            hidden: [n, T] bool; the conditionals sum over the words at these positions. None hides nothing.
            dtype: the dtype of the result. A language may also compute in it if that is faster.

        Returns:
            [n, T, V].

        Raises:
            InputError: for a token outside the vocabulary, a length that no sentence has, and visible words that no
                sentence has at their positions.
        """
        return self.conditional_table(*self.checked(tokens, lengths, hidden), dtype)

    def conditional_at(
        self, tokens: Tensor, lengths: Tensor | None, hidden: Tensor, dtype: torch.dtype = torch.float64
    ) -> Tensor:
        """The conditionals [m, V] at only the m hidden positions, in row-major order; see `conditional`."""
        return self.conditional_rows(*self.checked(tokens, lengths, hidden), dtype)

    @cached_property
    def own_tasks(self) -> Mapping[str, Task]:
        """name -> task, for the built-in tasks that the language supports. Corpora hold the labels of these tasks."""
        return listed_tasks(self, built_in=True)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:
        """name -> task: `own_tasks`, then the tasks of plug-ins whose names are not taken."""
        plugged = listed_tasks(self, built_in=False)
        return {**self.own_tasks, **{name: task for name, task in plugged.items() if name not in self.own_tasks}}

    def fingerprint(self) -> str:
        """SHA-256 of the file that `save` writes. Languages with bit-identical parameters have the same fingerprint."""
        with tempfile.TemporaryDirectory() as folder:
            return hashlib.sha256(Path(self.save(f"{folder}/language")).read_bytes()).hexdigest()

    def loss_floor(
        self,
        num_sentences: int,
        generator: torch.Generator,
        masking: str = "one",
        on_sentences: Callable[[int], object] = lambda done: None,
    ) -> Estimate:
        """The entropy of the true conditionals, E H(p(x_t | visible words)): the lowest loss that a model can reach.

        With masking "next" it is the entropy of a sentence per prediction, including the end at position T:

            E sum_t H(p(x_t | x_<t)) / E (T + 1),   t = 0 .. T

        Args:
            num_sentences: the number of sampled sentences.
            generator: on the language's device.
            masking: "one", "bernoulli:p" or "next". With "one", the mean over the hidden position is exact if
                positions_share_passes; otherwise the position is drawn.
            on_sentences: called with k when k more sentences are done.

        Returns:
            The estimate in nats per prediction; n is the number of sentences.

        Raises:
            InputError: for an unknown masking, if the masking hid no word, for zero sentences, and as `sample`.
        """
        check_draw(num_sentences, generator, least=1)
        return loss_floor(self, num_sentences, generator, masking, MEMORY_BUDGET, on_sentences)

    def to(self, device: torch.device | str) -> Self:
        """The same language on another device."""
        return on_device(self, device)

    def decode(self, sentences: Sentences) -> list[str]:
        """The sentences as strings, words separated by spaces. Raises InputError unless `sentences` are Sentences."""
        if not isinstance(sentences, Sentences):
            given = type(sentences).__name__
            raise InputError(f"sentences are of type {given}, expected Sentences; use Sentences(tokens, lengths)")
        sentences.check_words(self.vocab_size, "the language")
        rows = zip(sentences.tokens.tolist(), sentences.lengths.tolist(), strict=True)
        return [" ".join(self.words[token] for token in row[:length]) for row, length in rows]

    def checked(self, tokens: Tensor, lengths: Tensor | None, hidden: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The arguments of `conditional`, checked, filled in and on the language's device; see `checked_arguments`."""
        return checked_arguments(tokens, lengths, hidden, self.vocab_size, self.device)

    def checked_beginnings(self, tokens: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The arguments of `next_word`, checked as by `checked`, without the columns beyond max_length.

        Args:
            tokens: [n, T].
            lengths: [n], or None.

        Returns:
            (tokens [n, at most max_length], lengths [n]).

        Raises:
            InputError: as `checked`, and for a sentence of more than max_length words.
        """
        tokens, lengths, _ = self.checked(tokens, lengths, None)
        if bool((lengths > self.max_length).any()):
            row = int((lengths > self.max_length).nonzero()[0])
            raise InputError(
                f"sentence {row} has {int(lengths[row])} words, expected at most {self.max_length}; cut it"
            )
        return tokens[:, : self.max_length], lengths

    def chunks(self, lengths: Tensor) -> Iterator[tuple[Tensor, int]]:
        """Yields (indices of sentences of equal length, that length), each group within the memory budget."""
        for length in lengths.unique().tolist():
            for rows in (lengths == length).nonzero()[:, 0].split(self.chunk_size(length)):
                yield rows, length

    def chunk_size(self, length: int) -> int:
        """The number of sentences of this length that one pass may take."""
        return max(1, MEMORY_BUDGET // max(1, self.floats_per_sentence(length)))

    def check_lengths(self, lengths: Tensor) -> None:
        """Checks the lengths [n] of all sentences; see `check_length`."""
        for length in lengths.unique().tolist():
            self.check_length(length, (lengths == length).nonzero()[:, 0])

    def check_length(self, length: int, rows: Tensor) -> None:
        """Checks that the language has sentences of this length; see `check_possible_length`."""
        check_possible_length(self.length_log_prob, length, rows)
