"""Find the damaged and missing files of a corpus, one JSON line each; status 1 where there are any.

What is wrong is found by SHA-256, and repaired by making the shard again from the seed.
"""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ....errors import InputError
from ....generators.corpus.manifest import MANIFEST, Corpus, open_corpus
from ....generators.corpus.verify import examine, other_versions, repair
from ...analysis.results import STUDY_FILE
from ...runs.run import CONFIG
from ..output import print_row
from ..progress import progress_bar


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab verify`."""
    parser.add_argument("corpus", type=str, help="directory made by satlab generate")
    parser.add_argument("--repair", action="store_true", help="make damaged and missing shards again")


def run(given: Namespace) -> int:
    folder = Path(given.corpus)
    for name, kind in ((CONFIG, "a run"), (STUDY_FILE, "a study")):
        if (folder / name).is_file() and not (folder / MANIFEST).exists():
            raise InputError(f"{folder}: {kind}, expected a corpus made by satlab generate; check the path")
    corpus = open_corpus(folder)
    findings = []
    with progress_bar(len(corpus.shards) + 1, "files") as bar:
        for finding in examine(corpus):
            if finding is not None:
                findings.append(finding)
                print_row(asdict(finding))
            bar.update()
    last: dict[str, Any] = {"dir": given.corpus, "shards": len(corpus), "damaged": len(findings)}
    if given.repair and findings:
        last["repaired"] = _repair(corpus, [finding.shard for finding in findings if finding.shard is not None])
    print_row(last)
    if not corpus.manifest["complete"]:
        print(
            f"satlab: {given.corpus}: unfinished, {len(corpus.shards)} of {len(corpus)} shards are known; run its "
            "satlab generate command again to go on",
            file=sys.stderr,
        )
    if "manifest_sha256" not in corpus.manifest:
        print(
            f"satlab: {Path(given.corpus) / MANIFEST}: an older satlab wrote it, without the manifest_sha256 by which "
            "its own fields are checked; run its satlab generate command again to add it",
            file=sys.stderr,
        )
    return 0 if corpus.manifest["complete"] and len(findings) == last.get("repaired", 0) else 1


def _repair(corpus: Corpus, numbers: list[int]) -> int:
    """How many of the shards are as they were, once they have been made again."""
    repaired = 0
    with progress_bar(len(numbers), "shards") as bar:
        for number, same in repair(corpus, numbers, workers=None):
            bar.update()
            repaired += same
            if not same:
                print(
                    f"satlab: {corpus.folder}: shard {number} came out otherwise than the manifest says and is left as "
                    f"it is ({other_versions(corpus)}); repair it where the corpus was made",
                    file=sys.stderr,
                )
    return repaired
