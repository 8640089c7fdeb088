"""Checks a corpus against its manifest, and makes shards again that do not match."""

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...system.disk import only_writer
from .manifest import Corpus, open_corpus, sha256

OF_ITS_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP}
"""Error numbers that concern the path of one shard. Other shards can still be written."""


@dataclass(frozen=True)
class Finding:
    """A file with a problem.

    Args:
        file: its name.
        shard: the number of the shard; None for the language's file, and for a file that is not part of the corpus.
        problem: "missing", "damaged", "not a file", "unreadable", or "unexpected" for a file that would be read with
            the corpus.
    """

    file: str
    shard: int | None
    problem: str


def examine(corpus: Corpus) -> Iterator[Finding | None]:
    """Yields a finding or None for the language's file and each listed shard, then findings for unexpected files."""
    problem = corpus.language_problem()
    yield Finding(corpus.language_file.name, None, problem) if problem else None
    for number in range(len(corpus.shards)):
        problem = corpus.problem(number)
        yield Finding(corpus.storage.file(number), number, problem) if problem else None
    if corpus.manifest["complete"]:
        known = {corpus.storage.file(number) for number in range(len(corpus.shards))}
        for path in sorted(path for pattern in ("*.parquet", "*.bin") for path in corpus.folder.glob(pattern)):
            if path.name not in known:
                yield Finding(path.name, None, "unexpected")


def repair(corpus: Corpus, numbers: Sequence[int], workers: int | None = 1) -> Iterator[tuple[int, str | None]]:
    """Makes shards again from the seed. A shard that comes out different or cannot be written is left as it is.

    Args:
        corpus: the corpus.
        numbers: the numbers of the shards.
        workers: the number of processes that make them.

    Yields:
        The number of each shard, and the reason why it was left as it is; None if it matches the manifest again.

    Raises:
        InputError: if the language's file has a problem itself, or if another process is writing the corpus.
    """
    with only_writer(corpus.folder):
        # Another process may have been writing until now, so the manifest is read again.
        corpus = open_corpus(corpus.folder)
        problem = corpus.language_problem()
        if problem:
            raise InputError(
                f"{corpus.language_file}: {problem}, and without it no shard can be made again; restore it, or run "
                "the satlab generate command of this corpus again"
            )
        before = list(corpus.shards)
        known = [number for number in numbers if number < len(before)]
        for number, content in corpus.make(known, workers, any_version=True):
            yield number, _put(corpus, number, content)
        if corpus.manifest["complete"]:
            corpus.storage.finish()
        if corpus.shards != before:
            corpus.save(corpus.manifest["complete"])


def _put(corpus: Corpus, number: int, content: bytes) -> str | None:
    """Writes a shard if it matches the manifest. Returns the reason if it does not write it, else None."""
    if sha256(content) != corpus.shards[number]["sha256"]:
        return (
            f"shard {number} is left as it is: made again, it differs from the manifest "
            f"({other_versions(corpus)}); repair it on the machine that made the corpus"
        )
    try:
        corpus.put(number, content)
    except InputError as error:
        return f"shard {number} is left as it is: {error.said}"
    except OSError as error:
        if error.errno not in OF_ITS_PLACE:
            raise
        said = f"{corpus.storage.file(number)}: {error.strerror}"
        return f"shard {number} is left as it is: {said}, expected a file; remove what is there"
    return None


def other_versions(corpus: Corpus) -> str:
    """Why a shard may come out differently: the versions that made it, and the versions here."""
    from .shard import versions

    here, there = versions(), corpus.manifest["versions"]
    differing = [
        f"{name} {there[name]} in the corpus, {here[name]} here" for name in here if there.get(name) != here[name]
    ]
    return "; ".join(differing) or "same versions, perhaps another type of processor"
