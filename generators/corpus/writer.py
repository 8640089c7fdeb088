"""Writes a corpus. An interrupted run keeps the finished shards, and the next run continues it."""

import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, unknown
from ...system.disk import only_writer, write_atomic
from ...system.processes import check_workers
from ...system.ray_cluster import check_tasks, connection
from ..language import Language
from .manifest import KINDS, MANIFEST, MOST_SHARDS, Corpus, is_corpus, open_corpus, sha256
from .shard import FORMATS, check_versions, shard_content, versions

SHARD_SENTENCES = 16_384
"""The default number of sentences in each shard but the last."""

SHARD_NUMBERS = 2**25
"""The largest number of tokens and probabilities in a shard of default size. Shards get fewer sentences if needed."""

ENGINES = ("local", "ray")
"""What makes the shards: processes of this machine, or tasks of an existing Ray cluster."""

MANIFEST_SECONDS = 1.0
"""The least time between two writes of the manifest. A killed process repeats the shards made since the last write."""

OF_A_CORPUS = re.compile(r"language\..*|shard-.*|\.?train\.bin.*")
"""The names of files that any corpus may have beside its manifest."""

PARTIAL = (MANIFEST, "language.*", "shard-*", "train.bin")
"""The files that an interruption may leave half-written, under a hidden name."""

MAY_DIFFER = ("versions", "language", "language_sha256", "shards", "complete")
"""The fields in which the manifests of two corpora with the same bytes may differ."""


def write_corpus(
    language: Language,
    source: str,
    sentences: int,
    out: Path,
    seed: int = 0,
    truth: bool = False,
    format: str = "parquet",
    workers: int | None = 1,
    engine: str = "local",
    shard_sentences: int | None = None,
) -> Iterator[int]:
    """Writes a corpus, shard by shard.

    The bytes do not depend on the engine, the workers or interruptions. An unfinished corpus is continued, and a
    finished one is left as it is. If the manifest is missing, the corpus is made again over the existing files if they
    belong to it.

    Args:
        language: the language of the sentences.
        source: where the language comes from, for the manifest.
        sentences: the number of sentences to write.
        out: the directory.
        seed: the seed of the sentences.
        truth: whether each sentence gets the exact conditional at one hidden position.
        format: "parquet" or "bin".
        workers: with engine "local", the number of processes that make the shards: 1 uses this process only, None
            chooses. A script that asks for several must do so under `if __name__ == "__main__"`. With engine "ray", the
            number of parallel tasks.
        engine: one of ENGINES.
        shard_sentences: the number of sentences in each shard but the last.

    Yields:
        The number of sentences on disk after each shard.

    Raises:
        InputError: before anything is written, for numbers below 1, a format or engine that does not exist or does not
            fit, and a directory that holds something else or another corpus; also if Ray or its cluster is missing.
        WorkerError: if workers die repeatedly.
        OSError: if a file cannot be written, for example because the disk is full.
    """
    _check_numbers(sentences, shard_sentences, workers, engine)
    _check_format(format, language, truth)
    language = language if language.device.type == "cpu" else language.to("cpu")
    saved = _saved(language)
    asked = {"seed": seed, "sentences": sentences, "truth": truth, "format": format}
    manifest = _manifest(language, source, sha256(saved), asked, shard_sentences)
    _found_or_new(out, manifest, saved)
    yield from _write_alone(out, manifest, saved, workers, engine, language)


def _write_alone(
    out: Path, manifest: dict[str, Any], saved: bytes, workers: int | None, engine: str, language: Language
) -> Iterator[int]:
    """Writes the corpus of this manifest while it keeps other processes out; yields as `write_corpus`."""
    with connection() if engine == "ray" else nullcontext():
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            # Another process may have been writing until now, so the directory is read again.
            corpus = _found_or_new(out, manifest, saved)
            if not is_corpus(out):
                _check_own(corpus, language)
            yield from _write(corpus, saved, workers, engine, language)


def _write(corpus: Corpus, saved: bytes, workers: int | None, engine: str, language: Language) -> Iterator[int]:
    """Writes the language and all missing or damaged shards. Yields the number of sentences on disk so far."""
    for leftover in _leftovers(corpus.folder):
        leftover.unlink()
    if not is_corpus(corpus.folder):
        corpus.storage.begin()
    if "manifest_sha256" not in corpus.manifest:
        corpus.save(corpus.manifest["complete"])
    if corpus.language_problem():
        write_atomic(corpus.language_file, saved)
        corpus.manifest |= {"language_sha256": sha256(saved), "complete": False}
    todo, done = [], 0
    for number in range(len(corpus)):
        if corpus.problem(number):
            todo.append(number)
        else:
            done += corpus.rows(number)
            yield done
    if todo or not corpus.manifest["complete"]:
        for number in _fill(corpus, todo, workers, engine, language):
            done += corpus.rows(number)
            yield done


def _fill(corpus: Corpus, todo: list[int], workers: int | None, engine: str, language: Language) -> Iterator[int]:
    """Makes these shards, yields the number of each when it is on disk, and finishes the corpus."""
    if todo:
        check_versions(corpus.manifest["versions"], str(corpus.folder))
    corpus.save(complete=False)
    noted = time.monotonic()
    try:
        with closing(corpus.make(todo, workers, engine, language)) as made:
            for number, content in made:
                corpus.put(number, content)
                if time.monotonic() - noted > MANIFEST_SECONDS:
                    corpus.save(complete=False)
                    noted = time.monotonic()
                yield number
    except BaseException:
        # If the disk has no room for the manifest, the next run makes a few shards again.
        with suppress(OSError):
            corpus.save(complete=False)
        raise
    corpus.storage.finish()
    corpus.save(complete=True)


def _check_numbers(sentences: int, shard_sentences: int | None, workers: int | None, engine: str) -> None:
    for name, value in (("sentences", sentences), ("shard_sentences", shard_sentences)):
        if value is not None and value < 1:
            raise InputError(f"{value} {name}: expected at least 1; give a larger number")
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if workers is not None:
        (check_tasks if engine == "ray" else check_workers)(workers)


def _check_format(format: str, language: Language, truth: bool) -> None:
    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if format == "bin" and truth:
        raise InputError("format 'bin' holds only tokens, expected no truth; leave truth out, or use format parquet")
    most = np.iinfo(np.uint16).max
    if format == "bin" and language.vocab_size > most:
        raise InputError(
            f"format 'bin' holds 16-bit tokens, but the language has {language.vocab_size} words, expected at "
            f"most {most}; use format parquet"
        )


def _saved(language: Language) -> bytes:
    """The file that `Language.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        return Path(language.save(f"{folder}/language")).read_bytes()


def _manifest(
    language: Language, source: str, saved: str, asked: dict[str, Any], shard_sentences: int | None
) -> dict[str, Any]:
    """The manifest of a corpus before its first shard. Raises InputError for more than MOST_SHARDS shards."""
    numbers = language.max_length + (language.vocab_size if asked["truth"] else 0)
    each = shard_sentences or max(1, min(SHARD_SENTENCES, SHARD_NUMBERS // numbers))
    if asked["sentences"] > MOST_SHARDS * each:
        raise InputError(
            f"{asked['sentences']} sentences: expected at most {MOST_SHARDS} shards of {each}; give fewer "
            "sentences, or a larger shard_sentences"
        )
    flat = {"dtype": "uint16", "byte_order": "little", "end": language.pad_id, "vocab_size": language.pad_id + 1}
    return {
        "versions": versions(),
        "language": source,
        "language_file": f"language{language.suffix}",
        "language_sha256": saved,
        "fingerprint": language.fingerprint(),
        "max_length": language.max_length,
        "words": list(language.words),
        "classes": {name: list(task.classes) for name, task in language.own_tasks.items()},
        **asked,
        **({"tokens": flat} if asked["format"] == "bin" else {}),
        "shard_sentences": each,
        "shards": [],
        "complete": False,
    }


def _found_or_new(out: Path, manifest: dict[str, Any], saved: bytes) -> Corpus:
    """The corpus in the directory, or a new one.

    It is new if the directory is missing or empty, or if the manifest is missing and every file could belong to this
    corpus.

    Returns:
        The corpus.

    Raises:
        InputError: for a directory that holds something else or another corpus.
    """
    new = Corpus(out, manifest)
    if not out.exists():
        return new
    other = _something_else(new, saved) if out.is_dir() and not is_corpus(out) else None
    if other == "":
        return new
    try:
        known: dict[str, Any] = dict(json.loads((out / MANIFEST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        known = {}
    if not KINDS.keys() <= known.keys():
        if is_corpus(out) and new.language_problem() is None:
            open_corpus(out)
        named = f" ({other})" if other else ""
        raise InputError(f"{out} holds something else{named}, expected a new or empty directory; choose another one")
    there = open_corpus(out)
    for key, value in manifest.items():
        if key not in MAY_DIFFER and known.get(key) != value:
            name = "language" if key in ("language_file", "fingerprint") else key
            other = known.get(name)
            # A file may hold another language under the same name.
            told = isinstance(other, (str, int, float)) and other != manifest[name]
            shown = f"{other} there" if told else "another"
            raise InputError(
                f"{out} holds another corpus ({name}: {shown}), expected this one; choose another directory"
            )
    return there


def _leftovers(folder: Path) -> list[Path]:
    return [path for name in PARTIAL for path in folder.glob(f".{name}.partial")]


def _something_else(corpus: Corpus, saved: bytes) -> str:
    """A file in a directory without a manifest that this corpus cannot have put there; "" if there is none.

    Beside the language and a shard of this corpus, files that no corpus has are overlooked, as beside a manifest.

    Returns:
        Its name.
    """
    names = {path.name for path in corpus.folder.iterdir()} - {path.name for path in _leftovers(corpus.folder)}
    language = corpus.language_file
    mine = language.is_file() and language.read_bytes() == saved
    if language.name in names and not mine:
        return language.name
    others = names - {language.name} - {path.name for path in _files(corpus)}
    begun = mine and len(others) + 1 < len(names)
    return min((name for name in others if not begun or OF_A_CORPUS.fullmatch(name)), default="")


def _files(corpus: Corpus) -> dict[Path, int]:
    """The shards' files -> the number of the first shard in each."""
    return {corpus.storage.place(number): number for number in reversed(range(len(corpus)))}


def _check_own(corpus: Corpus, language: Language) -> None:
    """Raises InputError if the first or the last file of shards in the directory is not this corpus's."""
    given = corpus.manifest
    there = sorted(number for path, number in _files(corpus).items() if path.exists())
    for number in sorted({*there[:1], *there[-1:]}):
        path, rows = corpus.storage.place(number), corpus.rows(number)
        content = shard_content(language, given["seed"], given["truth"], given["format"], number, rows)
        with path.open("rb") as file:
            if not content.startswith(file.read(len(content))):
                raise InputError(
                    f"{path}: not shard {number} of this corpus, and {MANIFEST} is missing; restore {MANIFEST}, move "
                    "the shard away, or choose another directory"
                )
