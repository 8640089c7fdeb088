"""Find the damaged and missing files of a corpus, one JSON line each; status 1 where there are any.

What is wrong is found by SHA-256, and repaired by making the shard again from the seed.
"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import InputError
from ..arguments import Arguments, Given
from ..environment import one_thread

if TYPE_CHECKING:
    from ....generators.corpus.manifest import Corpus

NEEDS_TORCH = False
"""Only the repair of a shard needs it."""


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab verify`."""
    arguments.add_argument("corpus", help="directory made by satlab generate")
    arguments.add_flag("--repair", help="make damaged and missing shards again")


def run(given: Given) -> int:
    """Prints a row for each finding, and one for the corpus.

    Args:
        given: the arguments.

    Returns:
        The exit status: 1 if the corpus is unfinished, or if files are damaged or missing and not repaired.

    Raises:
        InputError: for a directory that is not a corpus.
    """
    from ....generators.corpus.manifest import MANIFEST, open_corpus
    from ....generators.corpus.verify import examine
    from ...file_names import CONFIG, STUDY_FILE
    from ...messages import warn
    from ..output import print_row
    from ..progress import progress_bar

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
    again = "run its satlab generate command again"
    if not corpus.manifest["complete"]:
        known = f"{len(corpus.shards)} of {len(corpus)} shards are known"
        warn(f"{given.corpus}: unfinished, {known}; {again} to go on")
    if "manifest_sha256" not in corpus.manifest:
        lacks = "an older satlab wrote it, without the manifest_sha256 by which its own fields are checked"
        warn(f"{folder / MANIFEST}: {lacks}; {again} to add it")
    return 0 if corpus.manifest["complete"] and len(findings) == last.get("repaired", 0) else 1


def _repair(corpus: "Corpus", numbers: list[int]) -> int:
    """How many of the shards are as they were, once they have been made again."""
    one_thread()
    from ....generators.corpus.verify import repair
    from ...messages import warn
    from ..progress import progress_bar

    repaired = 0
    with progress_bar(len(numbers), "shards") as bar:
        for _, problem in repair(corpus, numbers, workers=None):
            bar.update()
            repaired += problem is None
            if problem is not None:
                warn(f"{corpus.folder}: {problem}")
    return repaired
