"""A language's sentences on disk: Parquet shards and a manifest. Shard i depends on (seed, i) alone.

DIR/manifest.json           what this is: language, seed, versions, words, and each shard's rows and SHA-256
DIR/language.yaml or .npz   the language itself
DIR/shard-00000.parquet     tokens, length, label_TASK for each task; with truth also masked_position and truth
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..disk import only_writer, publish, write_atomic
from ..errors import InputError
from ..randomness import random_stream
from .language import Language
from .masking import hide

SHARD_SENTENCES = 16_384
MANIFEST = "manifest.json"


def write_corpus(
    language: Language, source: str, sentences: int, out: Path, seed: int = 0, truth: bool = False
) -> Iterator[int]:
    """Writes `sentences` sentences, yielding the number of them on disk after each shard.

    An interrupted corpus is gone on with, a finished one left as it is: the bytes are those of one undisturbed pass.
    Raises InputError, before anything is written, where out holds something else or another corpus.
    """
    if sentences < 1:
        raise InputError(f"{sentences} sentences: expected at least 1; give a larger number")
    manifest = _manifest(language, source, sentences, seed, truth)
    known = _existing(out, manifest)
    out.mkdir(parents=True, exist_ok=True)
    with only_writer(out):
        for leftover in out.glob(".*.partial"):
            leftover.unlink()
        language.save(str(out / "language"))
        shards: list[dict[str, Any]] = known.get("shards", [])
        for number, begin in enumerate(range(0, sentences, SHARD_SENTENCES)):
            rows = min(SHARD_SENTENCES, sentences - begin)
            name = f"shard-{number:05d}.parquet"
            if number >= len(shards) or _digest(out / name) != shards[number]["sha256"]:
                write_atomic(out / MANIFEST, _text({**manifest, "shards": shards, "complete": False}))
                partial = out / f".{name}.partial"
                pq.write_table(shard(language, rows, seed, number, truth), partial)
                shards[number : number + 1] = [{"file": name, "rows": rows, "sha256": _digest(partial)}]
                publish(partial, out / name)
            yield begin + rows
        write_atomic(out / MANIFEST, _text({**manifest, "shards": shards, "complete": True}))


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def shard(language: Language, rows: int, seed: int, number: int, truth: bool) -> pa.Table:
    """One shard as a table: tokens (a list without padding), length, labels; with truth, one hidden position a sentence.

    truth [V] float64 is p(x_t = v | every other word) at masked_position t.
    """
    generator = random_stream(seed, "corpus", number, device=language.device)
    sentences = language.sample(rows, generator)
    lengths = sentences.lengths.cpu().numpy()
    inside = np.arange(sentences.tokens.shape[1]) < lengths[:, None]
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int32)
    flat = sentences.tokens.cpu().numpy()[inside].astype(np.int32)
    columns = {
        "tokens": pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat)),
        "length": lengths.astype(np.int32),
    }
    for name, task in language.tasks.items():
        columns[f"label_{name}"] = task.labels(sentences).cpu().numpy().astype(np.int32)
    if truth:
        hidden = hide(sentences.lengths, sentences.tokens.shape[1], "one", generator)
        exact = language.conditional_at(sentences.tokens, sentences.lengths, hidden).cpu().numpy()
        columns["masked_position"] = hidden.int().argmax(1).cpu().numpy().astype(np.int32)
        columns["truth"] = pa.FixedSizeListArray.from_arrays(pa.array(exact.reshape(-1)), language.vocab_size)
    return pa.table(columns)


def _manifest(language: Language, source: str, sentences: int, seed: int, truth: bool) -> dict[str, Any]:
    return {
        "satlab": __version__,
        "language": source,
        "fingerprint": language.fingerprint(),
        "max_length": language.max_length,
        "words": list(language.words),
        "classes": {name: list(task.classes) for name, task in language.tasks.items()},
        "seed": seed,
        "sentences": sentences,
        "truth": truth,
    }


def _existing(out: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest that is there already, if it is this corpus; empty where there is nothing yet."""
    # An interruption before the first shard leaves no more than the language and half-written files.
    if not out.exists() or (out.is_dir() and all(p.name.startswith((".", "language.")) for p in out.iterdir())):
        return {}
    try:
        known: dict[str, Any] = dict(json.loads((out / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError):
        raise InputError(
            f"{out} holds something else, expected a new or empty directory; choose another --out"
        ) from None
    for key, value in manifest.items():
        if known.get(key) != value and key != "language":
            shown = "another" if isinstance(value, (list, dict)) or key == "fingerprint" else f"{known.get(key)} there"
            raise InputError(f"{out} holds another corpus ({key}: {shown}), expected this one; choose another --out")
    return known


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, indent=1) + "\n"
