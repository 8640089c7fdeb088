"""Whether a corpus is what its manifest says, and making again what is not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...system.disk import only_writer
from .manifest import Corpus, open_corpus, sha256


@dataclass(frozen=True)
class Finding:
    """A file with a problem, "missing" or "damaged". shard: its number, None for the language."""

    file: str
    shard: int | None
    problem: str


def examine(corpus: Corpus) -> Iterator[Finding | None]:
    """What is wrong with the language's file, then with each shard that the manifest knows; None where nothing is."""
    problem = corpus.language_problem()
    yield Finding(corpus.language_file.name, None, problem) if problem else None
    for number in range(len(corpus.shards)):
        problem = corpus.problem(number)
        yield Finding(corpus.storage.file(number), number, problem) if problem else None


def repair(corpus: Corpus, numbers: Sequence[int], workers: int | None = 1) -> Iterator[tuple[int, bool]]:
    """Makes these shards again from the seed: (number, whether it came out as the manifest says).

    A shard that came out otherwise is left as it is. Raises InputError where the language's file, from which they are
    made, is missing or damaged itself, and where another process writes the corpus.
    """
    with only_writer(corpus.folder):
        # Another process may have been writing until now.
        corpus = open_corpus(corpus.folder)
        problem = corpus.language_problem()
        if problem:
            raise InputError(
                f"{corpus.language_file}: {problem}, and without it no shard can be made again; put it back, or run "
                "the satlab generate command of this corpus again"
            )
        before = list(corpus.shards)
        known = [number for number in numbers if number < len(before)]
        for number, content in corpus.make(known, workers, any_version=True):
            same = sha256(content) == corpus.shards[number]["sha256"]
            if same:
                corpus.put(number, content)
            yield number, same
        if corpus.manifest["complete"]:
            corpus.storage.finish()
        if corpus.shards != before:
            corpus.save(corpus.manifest["complete"])


def other_versions(corpus: Corpus) -> str:
    """Why a shard may come out otherwise than it did: the versions that made it, and those here."""
    from .shard import versions

    here, there = versions(), corpus.manifest["versions"]
    differing = [f"{name} {there[name]} there, {here[name]} here" for name in here if there.get(name) != here[name]]
    return "; ".join(differing) or "the same versions, but perhaps another kind of processor"
