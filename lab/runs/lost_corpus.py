"""The error for a run whose corpus is no longer where it was when training began."""

from pathlib import Path

from ...errors import InputError
from ...system.yaml_files import read_yaml
from ..file_names import CONFIG, PUT_BACK


def check_corpus_there(folder: Path, source: str) -> None:
    """Checks that the corpus of a run is still at its path.

    Args:
        folder: the run, which may not exist yet.
        source: the language, as given.

    Raises:
        InputError: if nothing is at this path, but the run records that its corpus was there.
    """
    if Path(source).exists() or not (folder / CONFIG).is_file():
        return
    known = read_yaml(folder / CONFIG, PUT_BACK)
    corpus = known.get("corpus")
    place = corpus.get("folder") if isinstance(corpus, dict) else None
    if place is not None and place in (str(Path(source).resolve()), source):
        raise InputError(
            f"{source}: the corpus of {folder} is no longer at {place}; restore it, or give the directory "
            "where it is now"
        )
