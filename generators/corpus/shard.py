"""One shard of a corpus: makes its sentences, encodes them as bytes, and reads them back.

The bytes are a pure function of the language, the seed, the shard's number and size, the format and the truth option.
They depend neither on the process that makes them, nor on earlier work of that process, nor on its number of threads.
Other versions of the libraries may give other bytes.
"""

import io
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ... import __version__
from ...errors import InputError
from ...randomness import random_stream
from ..language import Language
from ..load import load_language
from ..masking import hide
from ..sentences import Sentences

FORMATS = ("parquet", "bin")

TOKEN = np.dtype("<u2")
"""The type of a token in format bin: little-endian, 16 bits, unsigned."""

Ragged = tuple[np.ndarray, np.ndarray]
"""The concatenated tokens of n sentences, and the lengths [n] of these sentences."""


def versions() -> dict[str, str]:
    """The versions that the bytes of a shard may depend on."""
    found = {"satlab": __version__, "torch": torch.__version__, "numpy": np.__version__, "pyarrow": pa.__version__}
    return {**found, "python": platform.python_version()}


def check_versions(begun_with: Mapping[str, str], what: str) -> None:
    """Raises InputError if shards made here might not match those of a corpus. Python's version may differ."""
    here = versions()
    for name, version in begun_with.items():
        if name != "python" and here.get(name) != version:
            raise InputError(
                f"{what} was begun with {name} {version}, but {platform.node()} has {name} {here.get(name)}, "
                f"expected the same version for all shards; install {name} {version} there, or begin another corpus"
            )


@dataclass(frozen=True)
class Recipe:
    """The settings that all shards of a corpus share.

    Args:
        language: the content of the file that Language.save writes.
        suffix: the suffix of that file.
        seed: the seed of the corpus.
        truth: whether each sentence gets the exact conditional at one hidden position.
        format: one of FORMATS.
        versions: the library versions that a worker must have; empty allows any.
    """

    language: bytes
    suffix: str
    seed: int
    truth: bool
    format: str
    versions: Mapping[str, str]


def make_shard(recipe: Recipe, number: int, rows: int) -> bytes:
    """`shard_content` for a process that has only the recipe. Raises InputError for other versions of the libraries."""
    check_versions(recipe.versions, "the corpus")
    language = _language(recipe.language, recipe.suffix)
    return shard_content(language, recipe.seed, recipe.truth, recipe.format, number, rows)


def shard_content(language: Language, seed: int, truth: bool, format: str, number: int, rows: int) -> bytes:
    """The content of shard `number`, which has `rows` sentences. The language must be on the CPU."""
    with _one_thread():
        generator = random_stream(seed, "corpus", number)
        sentences = language.sample(rows, generator)
        if format == "bin":
            return _flat(sentences, language.pad_id)
        return _parquet(_table(language, sentences, generator if truth else None))


@lru_cache(maxsize=1)
def _language(content: bytes, suffix: str) -> Language:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"language{suffix}")
        path.write_bytes(content)
        return load_language(path)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Runs torch on one thread, because sums over several threads round differently."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- Parquet


def _table(language: Language, sentences: Sentences, truth_generator: torch.Generator | None) -> pa.Table:
    """The columns of a shard: tokens, length, each latent variable, and label_TASK for each task.

    With a truth_generator, there are also masked_position t and truth [V] float64, p(x_t = v | all other words). Lists
    have no padding.

    Returns:
        The table.
    """
    lengths = sentences.lengths.numpy()
    inside = np.arange(sentences.tokens.shape[1]) < lengths[:, None]
    columns = {
        "tokens": _lists(_integers(sentences.tokens.numpy(), language.vocab_size), inside),
        "length": _integers(lengths, language.max_length + 1),
    }
    for name, latent in sentences.latents.items():
        columns[name] = _latent(latent.numpy().astype(np.int32))
    for name, task in language.own_tasks.items():
        columns[f"label_{name}"] = _integers(task.labels(sentences).numpy(), len(task.classes))
    if truth_generator is not None:
        hidden = hide(sentences.lengths, sentences.tokens.shape[1], "one", truth_generator)
        exact = language.conditional_at(sentences.tokens, sentences.lengths, hidden).numpy()
        columns["masked_position"] = _integers(hidden.int().argmax(1).numpy(), language.max_length)
        columns["truth"] = pa.FixedSizeListArray.from_arrays(pa.array(exact.reshape(-1)), language.vocab_size)
    return pa.table(columns)


def _integers(values: np.ndarray, above: int) -> np.ndarray:
    """Integers below `above` as int16 or, if too large, int32: types that every Parquet reader supports."""
    return values.astype(np.int16 if above <= 2**15 else np.int32)


def _latent(values: np.ndarray) -> pa.Array:
    """A latent variable: [n] as numbers, [n, k] as lists, [n, k, c] as lists of c-tuples. Entries of -1 are padding."""
    return pa.array(values) if values.ndim == 1 else _lists(values, values.reshape(*values.shape[:2], -1)[..., 0] >= 0)


def _lists(values: np.ndarray, kept: np.ndarray) -> pa.Array:
    """The lists of the entries values[i, k] with kept[i, k], one for each row i."""
    offsets = np.concatenate([[0], kept.sum(1).cumsum()]).astype(np.int32)
    flat = pa.array(values[kept].reshape(-1))
    if values.ndim == 3:
        flat = pa.FixedSizeListArray.from_arrays(flat, values.shape[2])
    return pa.ListArray.from_arrays(pa.array(offsets), flat)


def _parquet(table: pa.Table) -> bytes:
    # A dictionary of probabilities would be as large as the column and take longer than all other columns.
    dictionary = [_leaf(field) for field in table.schema if field.name != "truth"]
    sink = io.BytesIO()
    pq.write_table(table, sink, use_dictionary=dictionary)
    return sink.getvalue()


def _leaf(field: pa.Field) -> str:
    """The name of a column in Parquet: a.list.element for lists of numbers, and so on for lists of lists."""
    path, kind = field.name, field.type
    while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        path, kind = f"{path}.list.element", kind.value_type
    return str(path)


# ---- flat tokens


def _flat(sentences: Sentences, end: int) -> bytes:
    """The concatenated sentences, each followed by the token `end`."""
    tokens = np.pad(sentences.tokens.numpy(), ((0, 0), (0, 1)), constant_values=end).astype(TOKEN)
    kept = np.arange(tokens.shape[1]) <= sentences.lengths.numpy()[:, None]
    return tokens[kept].tobytes()


# ---- reading


def read_tokens(content: bytes, format: str, end: int) -> Ragged:
    """The words of a shard's sentences, without padding and end tokens."""
    if format == "bin":
        tokens = np.frombuffer(content, TOKEN)
        ends = np.flatnonzero(tokens == end)
        return tokens[tokens != end], np.diff(ends, prepend=-1) - 1
    lists = pq.read_table(pa.BufferReader(content), columns=["tokens"])["tokens"].combine_chunks()
    return lists.flatten().to_numpy(), lists.value_lengths().to_numpy()
