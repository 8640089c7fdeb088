"""A corpus on disk: a manifest and shards of sentences. Of the random choices, shard i depends only on (seed, i).

DIR/manifest.json           description: language, seed, versions, words; rows, bytes and SHA-256 of each shard
DIR/language.yaml or .npz   the language itself
DIR/shard-00000.parquet     tokens, length, latent variables, label_TASK; with truth also masked_position and truth

or, in format bin, instead of the Parquet files

DIR/train.bin               uint16 tokens, each sentence followed by the token that the manifest calls end
"""

import hashlib
import json
import shlex
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ...system.disk import write_atomic
from ...system.processes import in_order
from ...system.ray_cluster import on_cluster
from ...system.replaceable import no_file
from .storage import LANGUAGE_FILES, STORAGE, Entry

if TYPE_CHECKING:
    from ..language import Language
    from .shard import Ragged

MANIFEST = "manifest.json"

MOST_SHARDS = 10**6
"""The largest number of shards in a corpus."""

KINDS = {
    "versions": dict,
    "language_file": str,
    "language_sha256": str,
    "fingerprint": str,
    "words": list,
    "seed": int,
    "sentences": int,
    "truth": bool,
    "format": str,
    "shard_sentences": int,
    "shards": list,
    "complete": bool,
}
"""The fields that a manifest must have, with their types."""

SIGNED = (*KINDS, "language", "max_length", "classes", "tokens")
"""The fields that manifest_sha256 covers: all other fields that satlab writes to a manifest."""


class Corpus:
    """A corpus on disk.

    Args:
        folder: its directory.
        manifest: the content of its manifest.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.shards: list[Entry] = manifest["shards"]
        self.storage = STORAGE[manifest["format"]](folder, self.shards)

    def __len__(self) -> int:
        """The number of shards, including those still to be made."""
        size: int = self.manifest["shard_sentences"]
        return (int(self.manifest["sentences"]) + size - 1) // size

    def rows(self, number: int) -> int:
        """The number of sentences in a shard."""
        size: int = self.manifest["shard_sentences"]
        return min(size, int(self.manifest["sentences"]) - number * size)

    @property
    def end(self) -> int:
        """The token after a sentence in format bin."""
        return len(self.manifest["words"])

    @property
    def language_file(self) -> Path:
        """The path of the language's file."""
        return self.folder / str(self.manifest["language_file"])

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the shards' SHA-256. Corpora with the same bytes have the same fingerprint."""
        return sha256("".join(entry["sha256"] for entry in self.shards).encode())

    # ---- reading and checking

    def language_problem(self) -> str | None:
        """The problem with the language's file, in the terms of `problem`; None if the file matches the manifest."""
        try:
            if no_file(self.language_file):
                return "not a file"
            content = self.language_file.read_bytes() if self.language_file.exists() else None
        except OSError:
            return "unreadable"
        return _problem(content, self.manifest["language_sha256"])

    def problem(self, number: int) -> str | None:
        """The problem with a shard; None if its bytes match the manifest.

        Args:
            number: the number of the shard.

        Returns:
            "missing"; "damaged"; "not a file", if a directory or a pipe has its name; or "unreadable".
        """
        if number >= len(self.shards):
            return "missing"
        try:
            if no_file(self.storage.place(number)):
                return "not a file"
            content, entry = self.storage.read(number), self.shards[number]
        except OSError:
            return "unreadable"
        if content is not None and len(content) != entry["bytes"]:
            return "damaged"
        return _problem(content, entry["sha256"])

    def tokens(self, number: int) -> "Ragged":
        """Reads the words of a shard.

        Returns:
            The concatenated words of its sentences, and the lengths of the sentences.

        Raises:
            InputError: for a shard that is missing or damaged.
        """
        from .shard import read_tokens

        content = self.storage.read(number)
        problem = _problem(content, self.shards[number]["sha256"])
        if content is None or problem:
            raise InputError(
                f"{self.folder / self.storage.file(number)}: {problem}, expected shard {number} of the corpus; make "
                f"it again with satlab verify {shlex.quote(str(self.folder))} --repair"
            )
        return read_tokens(content, self.manifest["format"], self.end)

    # ---- making and writing

    def make(
        self,
        numbers: Sequence[int],
        workers: int | None = 1,
        engine: str = "local",
        language: "Language | None" = None,
        any_version: bool = False,
    ) -> Generator[tuple[int, bytes], None, None]:
        """Makes shards from the seed; see `in_order` and `on_cluster` for the workers.

        Args:
            numbers: the numbers of the shards, in the order in which they are yielded.
            workers: the number of processes or tasks that make them.
            engine: "local" or "ray".
            language: the corpus's language, on the CPU, if it is loaded already.
            any_version: whether workers may have library versions other than those with which the corpus was begun.

        Yields:
            The number and the content of each shard.

        Raises:
            InputError: for a worker with other versions, unless any_version is True.
        """
        from .shard import Recipe, make_shard, shard_content

        settings = (self.manifest["seed"], self.manifest["truth"], self.manifest["format"])
        content, suffix = self.language_file.read_bytes(), self.language_file.suffix
        make = partial(make_shard, Recipe(content, suffix, *settings, {} if any_version else self.manifest["versions"]))
        here = make if language is None else partial(shard_content, language, *settings)
        jobs = [(number, self.rows(number)) for number in numbers]
        if engine == "local" and workers not in (None, 1) and len(jobs) > 1:
            # The first sentence compiles code and fills tables. Forked processes inherit them from this one.
            here(numbers[0], 1)
        made = on_cluster(make, jobs, workers) if engine == "ray" else in_order(make, jobs, workers, here)
        with closing(made) as contents:
            yield from zip(numbers, contents, strict=True)

    def put(self, number: int, content: bytes) -> None:
        """Writes a shard to disk, and updates its entry for the manifest."""
        self.storage.write(number, content)
        file, rows = self.storage.file(number), self.rows(number)
        self.shards[number : number + 1] = [Entry(file=file, rows=rows, bytes=len(content), sha256=sha256(content))]

    def save(self, complete: bool) -> None:
        """Writes the manifest."""
        self.manifest |= {"shards": self.shards, "complete": complete}
        self.manifest["manifest_sha256"] = signature(self.manifest)
        write_atomic(self.folder / MANIFEST, json.dumps(self.manifest, indent=1) + "\n")


def sha256(content: bytes) -> str:
    """The SHA-256 of the content, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def signature(manifest: Mapping[str, Any]) -> str:
    """The SHA-256 of the fields that satlab writes to a manifest. Spacing and fields added by hand do not change it."""
    content = {key: manifest[key] for key in SIGNED if key in manifest}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def _problem(content: bytes | None, digest: str) -> str | None:
    if content is None:
        return "missing"
    return None if sha256(content) == digest else "damaged"


def is_corpus(folder: Path) -> bool:
    """Whether a directory has a manifest."""
    return (folder / MANIFEST).is_file()


def open_corpus(folder: Path) -> Corpus:
    """Opens the corpus in a directory, finished or not.

    Args:
        folder: the directory.

    Returns:
        The corpus.

    Raises:
        InputError: for a directory without a corpus, and for a damaged manifest.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if any((folder / name).is_file() for name in LANGUAGE_FILES):
            raise InputError(
                f"{path}: missing, expected beside the language; run the satlab generate command of this corpus "
                "again to write it"
            )
        raise InputError(f"{folder}: no corpus here, expected a directory made by satlab generate; check the path")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        corpus = Corpus(folder, _typed(manifest))
        _check_shards(corpus)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: damaged ({error!r:.200}), expected the file that satlab generate wrote; restore it, or "
            "remove it and run the satlab generate command of this corpus again"
        ) from None
    return corpus


def _check_shards(corpus: Corpus) -> None:
    """Raises an error, which `open_corpus` reports as damage, if the shards' entries contradict the manifest."""
    manifest = corpus.manifest
    for number, entry in enumerate(corpus.shards):
        known = [entry["rows"], entry["file"], type(entry["bytes"]), type(entry["sha256"])]
        if known != [corpus.rows(number), corpus.storage.file(number), int, str]:
            raise ValueError(f"shard {number} is {entry!r}")
    if len(corpus.shards) > len(corpus) or (manifest["complete"] and len(corpus.shards) < len(corpus)):
        raise ValueError(f"{len(corpus.shards)} shards for {manifest['sentences']} sentences")
    if manifest.get("manifest_sha256", found := signature(manifest)) != found:
        raise ValueError(f"its content has the SHA-256 {found[:12]}, which differs from its manifest_sha256")


def _typed(manifest: Any) -> dict[str, Any]:
    """The manifest, if each field is valid on its own. Raises an error, which `open_corpus` reports as damage."""
    for key, kind in KINDS.items():
        if not isinstance(manifest[key], kind):
            raise TypeError(f"{key} is {manifest[key]!r}")
    if min(manifest["sentences"], manifest["shard_sentences"]) < 1:
        raise ValueError(f"{manifest['sentences']} sentences in shards of {manifest['shard_sentences']}")
    if manifest["language_file"] not in LANGUAGE_FILES:
        raise ValueError(f"language_file is {manifest['language_file']!r}")
    if manifest["sentences"] > MOST_SHARDS * manifest["shard_sentences"]:
        raise ValueError(f"more than {MOST_SHARDS} shards")
    return dict(manifest)
