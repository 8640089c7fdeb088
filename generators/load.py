"""Loads a language: from a preset, a YAML file, a grammar, an npz file or the directory of a corpus."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError, nearest, unknown, whole_number
from ..system.replaceable import check_readable
from ..system.yaml_files import read_yaml_text
from .corpus.manifest import is_corpus
from .corpus.storage import LANGUAGE_FILES
from .families.base import families, language_of, typed
from .hmm.language import DEFAULT_LENGTH, HMM
from .hmm.readout import Readout
from .language import Language
from .npz_arrays import as_numbers, as_texts, read_arrays
from .pcfg.language import PCFG

PRESETS = Path(__file__).parent / "presets"

NEAR = 0.75
"""The similarity (see `nearest`) above which a preset is suggested; high, as a missing directory may have any name."""

NPZ_ARRAYS = (
    *("initial", "transition", "emission", "startprob", "transmat", "emissionprob", "length", "words"),
    *("task_positions", "block_task", "posterior_weights", "posterior_words"),
)
"""The arrays that an HMM's file may contain."""


def preset_names() -> list[str]:
    """The names of the languages that ship with satlab."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_language(source: str | Path | Mapping[str, Any], max_length: int | None = None) -> Language:
    """The language that a source describes.

    Args:
        source: the name of a preset, the path of a .yaml, .pcfg or .npz file or of a corpus's directory, or the content
            of such a YAML file.
        max_length: replaces the source's bound on the length (for an HMM: the length); words.

    Returns:
        The language, on the CPU.

    Raises:
        InputError: for a missing or malformed file, an unknown preset, family or key, and a language that its family
            refuses. The message names the file.

    Example:
        >>> language = load_language("demo-hmm")
        >>> language.vocab_size, language.max_length
        (10, 8)
        >>> load_language({"preset": "demo-hmm", "length": 3}).max_length
        3
    """
    if isinstance(source, Mapping):
        return _from_mapping(source, max_length, Path())
    if not isinstance(source, (str, Path)):
        raise InputError(f"language is {source!r:.200}, expected a name, a path or a mapping; correct it")
    if not str(source):
        raise InputError("language is '', expected a preset's name or a path; give one")
    if max_length is not None:
        max_length = whole_number("max_length", max_length)
    path = Path(source)
    if path.suffix in READERS:
        return _read_file(path, max_length)
    if str(source) in preset_names():
        if is_corpus(path):
            warnings.warn(
                f"language '{source}' is the preset, not the corpus in the directory {source}; give ./{source} to "
                "read the corpus",
                stacklevel=2,
            )
        return _read_yaml(PRESETS / f"{source}.yaml", max_length)
    for language in (path / name for name in LANGUAGE_FILES):
        if language.is_file() and (path / "manifest.json").is_file():
            try:
                return load_language(language, max_length)
            except InputError as error:
                raise InputError(f"{error} (in a corpus; run satlab verify {path} to check it for damage)") from None
    for language in path.glob("language.*"):
        raise InputError(f"{path}: a directory, expected a language; give {language}")
    if path.is_dir():
        files = ", ".join(READERS)
        raise InputError(
            f"{path}: a directory without a corpus, expected a language; give a file ({files}) or a corpus"
        )
    if path.exists():
        raise InputError(f"{path}: unknown kind of file, expected the suffix {', '.join(READERS)}; rename it")
    said = f"unknown language '{source!s:.200}': no preset, file or directory has this name"
    raise InputError(f"{said}; {_what_instead(str(source))}")


def corpus_of(source: object) -> Path | None:
    """The corpus's directory if a source of `load_language` names a corpus; None for every other kind of source."""
    named = isinstance(source, str) and source not in preset_names() and Path(source).suffix not in READERS
    return Path(str(source)) if named and is_corpus(Path(str(source))) else None


def _what_instead(source: str) -> str:
    """What to do about a source that does not exist: a suggested preset, or the list of accepted sources."""
    names = preset_names()
    if close := nearest(source, names, NEAR):
        return f"did you mean '{close}'?"
    return f"give the directory of a corpus, a file ({', '.join(READERS)}), or one of: {', '.join(names)}"


def _read_file(path: Path, max_length: int | None) -> Language:
    """The language in a file whose suffix is one of READERS. Raises InputError as `load_language`."""
    check_readable(path, "a file with a grammar or HMM")
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a grammar or HMM; check the path")
    try:
        return READERS[path.suffix](path, max_length)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        where = f"the byte 0x{error.object[error.start]:02X} at {error.start} is not UTF-8"
        raise InputError(f"{path}: {where}, expected UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error}), expected a text file or an npz archive; check the path"
        ) from None


def _read_pcfg(path: Path, max_length: int | None) -> Language:
    return PCFG.from_string(path.read_text(encoding="utf-8-sig"), max_length)


def _read_yaml(path: Path, max_length: int | None) -> Language:
    content = read_yaml_text(path.read_bytes())
    if not isinstance(content, Mapping):
        raise InputError("expected a mapping with the key 'family' or 'preset'; correct the file")
    return _from_mapping(content, max_length, path.parent)


def _read_npz(path: Path, max_length: int | None) -> Language:
    """An HMM from the arrays of NPZ_ARRAYS. initial, transition and emission may have hmmlearn's names instead."""
    arrays: dict[str, Any] = read_arrays(path, NPZ_ARRAYS)
    for ours, theirs in (("initial", "startprob"), ("transition", "transmat"), ("emission", "emissionprob")):
        if ours in arrays and theirs in arrays:
            raise InputError(f"holds both '{ours}' and hmmlearn's '{theirs}', expected one of them; remove the other")
        arrays[ours] = arrays.get(ours, arrays.pop(theirs, None))
        if arrays[ours] is None:
            raise InputError(f"has no array '{ours}', expected initial, transition and emission; add it")
    length = _whole_number("length", np.asarray(arrays.get("length", DEFAULT_LENGTH)))
    words = None if "words" not in arrays else as_texts("words", arrays["words"])
    initial, transition, emission = (as_numbers(name, arrays[name]) for name in ("initial", "transition", "emission"))
    length = length if max_length is None else max_length
    return HMM(initial, transition, emission, length, words, **_npz_tasks(arrays))


def _npz_tasks(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `HMM` that define its tasks, from the arrays that `HMM.save` writes."""
    positions, block, weights = (arrays.get(name) for name in ("task_positions", "block_task", "posterior_weights"))
    if positions is not None:
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise InputError(f"'task_positions' is {positions.tolist()!r}, expected integers; correct it")
        positions = positions.tolist()
    if block is not None:
        if block.ndim or block.dtype.kind != "U":
            raise InputError(
                f"'block_task' is {block.dtype} of shape {list(block.shape)}, expected one name; correct it"
            )
        block = as_texts("block_task", block[None])[0]
    readout = None
    if ("posterior_words" in arrays) != (weights is not None):
        raise InputError(
            "holds only one of 'posterior_weights' and 'posterior_words', expected both or neither; add or remove one"
        )
    if weights is not None:
        words = _whole_number("posterior_words", arrays["posterior_words"])
        readout = Readout(torch.from_numpy(as_numbers("posterior_weights", weights)), words)
    return {"task_positions": positions, "block_task": block, "readout": readout}


def _whole_number(name: str, array: np.ndarray) -> int:
    """The only entry of an array, which must be an integer."""
    if array.size != 1 or array.dtype.kind not in "iu":
        raise InputError(f"'{name}' is {array.tolist()!r}, expected one integer; correct it")
    return int(array.item())


READERS: dict[str, Callable[[Path, int | None], Language]] = {
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".pcfg": _read_pcfg,
    ".npz": _read_npz,
}


def _from_mapping(content: Mapping[str, Any], max_length: int | None, folder: Path) -> Language:
    """The language that the content of a YAML file describes.

    Args:
        content: `family` and its settings; or `preset: NAME` and the keys of the preset to replace; or `file: PATH` and
            max_length.
        max_length: as for `load_language`.
        folder: the folder of the YAML file; PATH is relative to it.

    Returns:
        The language.

    Raises:
        InputError: as `load_language`.
    """
    content = dict(content)
    if "file" in content:
        length = typed("max_length", content.pop("max_length", None), int | None)
        path = folder / str(content.pop("file"))
        if path.suffix not in (".pcfg", ".npz"):
            raise InputError(f"file: {path} is neither .pcfg nor .npz, expected a grammar or an HMM; correct it")
        for key in content:
            raise InputError(str(unknown("key", key, ["file", "max_length"])))
        return load_language(path, length if max_length is None else max_length)
    if "preset" in content:
        name = content.pop("preset")
        if not isinstance(name, str):
            raise InputError(f"preset is {name!r}, expected a name; put it in quotes")
        if name not in preset_names():
            raise InputError(str(unknown("preset", name, preset_names())))
        base = read_yaml_text((PRESETS / f"{name}.yaml").read_bytes())
        content = {**base, **content}
    if "family" not in content:
        raise InputError("has neither 'family', 'preset' nor 'file', expected one of these keys; add it")
    family = content.pop("family")
    if not isinstance(family, str) or family not in families:
        added = "" if nearest(family, families) else "; if a plug-in adds it, install that, or put it on PYTHONPATH"
        raise InputError(f"{unknown('family', family, families)}{added}")
    return language_of(family, content, max_length)
