"""Checks of the arguments of a language's methods: tokens, lengths, hidden positions, numbers and paths."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, at_least, whole_number
from .sentences import as_integers
from .vocabulary import PAD


def checked_arguments(
    tokens: Any, lengths: Any, hidden: Any, vocab_size: int, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Checks tokens, lengths and hidden positions, and fills in the defaults.

    Args:
        tokens: [n, T], integers of any width in a tensor or an array.
        lengths: [n], integers likewise; None counts the tokens that are not padding.
        hidden: [n, T] bool; None hides nothing.
        vocab_size: V.
        device: the device of the results.

    Returns:
        (tokens [n, T] int64, lengths [n] int64, hidden [n, T] bool). Positions beyond a sentence's end are not hidden.

    Raises:
        InputError: for other dtypes and shapes, a visible token outside the vocabulary, an empty sentence, and a length
            above T.
    """
    tokens = as_integers("tokens", tokens, device)
    if tokens.dim() != 2:
        raise InputError(f"tokens have shape {list(tokens.shape)}, expected [sentences, T]; add a dimension")
    lengths = (tokens != vocab_size + PAD).sum(1) if lengths is None else as_integers("lengths", lengths, device)
    hidden = torch.zeros_like(tokens, dtype=torch.bool) if hidden is None else _mask(hidden).to(device)
    for name, given, shape in (("lengths", lengths, tokens.shape[:1]), ("hidden", hidden, tokens.shape)):
        if given.shape != shape:
            raise InputError(f"{name} has shape {list(given.shape)}, expected {list(shape)}; give one value for each")
    inside = torch.arange(tokens.shape[1], device=device) < lengths[:, None]
    hidden = hidden & inside
    if bool((lengths > tokens.shape[1]).any()):
        row = int((lengths > tokens.shape[1]).nonzero()[0])
        raise InputError(f"sentence {row} has length {int(lengths[row])}, expected at most {tokens.shape[1]} tokens")
    if bool((lengths < 1).any()):
        raise InputError(f"sentence {int((lengths < 1).nonzero()[0])} is empty, expected at least one word")
    wrong = inside & ~hidden & ((tokens < 0) | (tokens >= vocab_size))
    if bool(wrong.any()):
        row, column = wrong.nonzero()[0].tolist()
        raise InputError(
            f"sentence {row}, position {column}: token {int(tokens[row, column])} is not a word, expected 0 to "
            f"{vocab_size - 1}; mark hidden positions in `hidden`"
        )
    return tokens, lengths, hidden


def check_draw(num_sentences: object, generator: object, least: int) -> None:
    """Checks the number of sentences and the generator.

    Args:
        num_sentences: the number of sentences.
        generator: the source of random numbers.
        least: the smallest number of sentences allowed.

    Raises:
        InputError: for a number that is not an integer or is below `least`, and for a generator that is not a
            torch.Generator.
    """
    at_least("num_sentences", whole_number("num_sentences", num_sentences), least)
    if not isinstance(generator, torch.Generator):
        raise InputError(
            f"generator is {generator!r:.80}, expected a torch.Generator; use torch.Generator().manual_seed(SEED)"
        )


def check_path(path: object) -> None:
    """Checks the path at which a language is to be saved.

    Args:
        path: the path of the file.

    Raises:
        InputError: for a path without a name, or in a directory that is missing.
    """
    if not isinstance(path, (str, Path)) or not str(path) or str(path).endswith("/"):
        raise InputError(f"path is {str(path)!r}, expected the path of a file without its suffix; add a name")
    folder = Path(path).parent
    if not folder.is_dir():
        raise InputError(f"{folder}: no such directory, expected one for {Path(path).name}; create it first")


def check_possible_length(length_log_prob: Tensor, length: int, rows: Tensor) -> None:
    """Checks that a language has sentences of a length.

    Args:
        length_log_prob: log p(T = length) [max_length + 1].
        length: the length in words.
        rows: the indices of the sentences; the message names the first.

    Raises:
        InputError: for a length that no sentence has.
    """
    known = length_log_prob > -torch.inf
    if length >= len(known) or not bool(known[length]):
        lengths = known.nonzero()[:, 0].tolist()
        text = str(lengths[0]) if len(lengths) == 1 else f"between {lengths[0]} and {lengths[-1]}"
        raise InputError(
            f"sentence {int(rows[0])} has {length} words, but no sentence of the language has this length, "
            f"expected {text}; give sentences of such a length"
        )


def _mask(hidden: Any) -> Tensor:
    """The hidden positions as a tensor of booleans."""
    mask = torch.as_tensor(hidden)
    if mask.dtype != torch.bool:
        raise InputError(f"hidden is {mask.dtype}, expected torch.bool; convert it, as in hidden != 0")
    return mask
