"""A run whose corpus is gone from where it was when training began."""

from pathlib import Path

from ...errors import InputError
from ...system.yaml_files import read_yaml
from ..file_names import CONFIG, PUT_BACK


def check_corpus_there(folder: Path, source: str) -> None:
    """Checks that the corpus that a run trains on is still where it was given.

    Args:
        folder: of the run; it may not exist yet.
        source: the language, as it is given.

    Raises:
        InputError: where nothing is at this path, and the run records that its corpus was.
    """
    if Path(source).exists() or not (folder / CONFIG).is_file():
        return
    known = read_yaml(folder / CONFIG, PUT_BACK)
    corpus = known.get("corpus")
    place = corpus.get("folder") if isinstance(corpus, dict) else None
    if place is not None and place in (str(Path(source).resolve()), source):
        raise InputError(
            f"{source}: gone, expected the corpus that {folder} trains on, which was at {place}; put it back, or give "
            "the directory where it is now"
        )
