"""What a measurement and a study are told, and how it is read: unknown keys and wrong types are errors, never dropped."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from ..errors import InputError, unknown
from ..train import TrainConfig

STUDIES = Path(__file__).parent.parent / "studies"

T = TypeVar("T")


def at_least(name: str, value: int, least: int) -> None:
    """Raises InputError for a smaller number."""
    if value < least:
        raise InputError(f"{name} is {value}, expected at least {least}; give a larger number")


@dataclass(frozen=True)
class ProbeConfig:
    """The linear probe.

    Args:
        train_sentences: labelled sentences the probe is fitted on.
        test_sentences: labelled sentences its accuracy is measured on.
        seeds: repeats, each with sentences of its own.
        l2: strength of the penalty l2 / 2 ||W||^2 beside the mean loss.
        seed: what the repeats derive from.
    """

    train_sentences: int = 8000
    test_sentences: int = 8000
    seeds: int = 3
    l2: float = 1e-4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_sentences", "test_sentences", "seeds"):
            at_least(name, getattr(self, name), 1)
        if not 0 < self.l2 < float("inf"):
            raise InputError(f"l2 is {self.l2}, expected a positive number; correct it")


@dataclass(frozen=True)
class FlatnessConfig:
    """The trace of the Hessian.

    Args:
        method: the estimator.
        contexts: sampled sentences with one hidden word.
        draws: words sampled from the model in each context.
        seed: what the contexts and draws derive from.
    """

    method: str = "sampled-gradient"
    contexts: int = 2000
    draws: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("contexts", self.contexts, 2)
        at_least("draws", self.draws, 1)


@dataclass(frozen=True)
class EvaluateConfig:
    """KL(truth || model) on held-out sentences.

    Args:
        sentences: held-out sentences with one hidden word.
        seed: what they derive from.
    """

    sentences: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 2)


@dataclass(frozen=True)
class StudyConfig:
    """A grid of models, trained on one language and compared.

    Args:
        language: a preset, a language file (relative to the study's own), or what such a file would hold.
        models: model name -> what differs for it from `train`.
        train: training, for all models.
        seeds: training seeds; each is a run of its own.
        tasks: downstream tasks of the language.
        evaluate: measurement of KL.
        probe: measurement of downstream accuracy.
        flatness: measurement of Tr(H).
        max_length: replaces the language's own.
        workers: cells side by side, one thread each; all cores unless given.
    """

    language: Any
    models: dict[str, Any]
    tasks: list[str]
    train: TrainConfig = field(default_factory=TrainConfig)
    seeds: list[int] = field(default_factory=lambda: [0])
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    flatness: FlatnessConfig = field(default_factory=FlatnessConfig)
    max_length: int | None = None
    workers: int | None = None

    @property
    def num_workers(self) -> int:
        return self.workers or os.cpu_count() or 1


class _Reader(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(message)


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from what YAML gave. Raises InputError, naming `where`, for unknown keys and values of a wrong type."""
    _known_keys(kind, values, where)
    place = f"{where}: " if where else ""
    reader = _Reader(exit_on_error=False)
    reader.add_class_arguments(kind, as_group=False)
    try:
        return kind(**vars(reader.instantiate(reader.parse_object(dict(values)))))
    except (ValueError, TypeError, KeyError, ArgumentError) as error:
        raise InputError(f"{place}{plain(str(error))}") from None


def _known_keys(kind: Any, values: Mapping[str, Any], where: str) -> None:
    known = {f.name: f.type for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}: {unknown('key', key, known)}")
        if value is None and type(None) not in get_args(known[key]):
            raise InputError(f"{where}: {key} is 'None', expected a value; give it, or leave the key out")
        if isinstance(value, Mapping) and hasattr(known[key], "__dataclass_fields__"):
            _known_keys(known[key], value, f"{where}, {key}")


def plain(message: str) -> str:
    """What jsonargparse says, as one sentence a newcomer understands."""
    message = " ".join(message.split())
    found = re.search(r'key "(?P<key>[^"]+)": Expected an? (?P<kind>.+?)\. Got value: (?P<value>.*)', message)
    union = r'key "(?P<key>[^"]+)": Does not validate .*?Subtypes: \[(?P<kind>.*?)\] Errors.*Given value: (?P<value>.*)'
    found = found or re.search(union, message)
    if found:
        return f"{found['key']} is '{found['value']}', expected {_kind(found['kind'])}; correct it"
    missing = re.search(r"arguments? (?:are|is) required: (.*)", message)
    if missing:
        return f"{missing[1]} missing, expected a value; give it"
    return message


def _kind(text: str) -> str:
    """A type as people write it: "list of int or null"."""
    text = re.sub(r"<class '(\w+)'>", r"\1", text).replace("NoneType", "null")
    text = re.sub(r"list\[(\w+)\]", r"list of \1", text)
    return "a list" if text == "list" else text.replace(", ", " or ")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping. Raises InputError, naming the file, for anything else."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); check the path") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a mapping of keys to values")
    return content


def load_study(source: str) -> StudyConfig:
    """A study by its path, or by the name of one that ships with satlab ("demo")."""
    path = Path(source)
    if not path.is_file():
        shipped = sorted(p.stem for p in STUDIES.glob("*.yaml"))
        if source not in shipped:
            if path.suffix in (".yaml", ".yml") and path.stem not in shipped:
                raise InputError(f"{path}: no such file, expected a study; check the path")
            raise unknown("study", source, shipped)
        path = STUDIES / f"{source}.yaml"
    study = from_mapping(StudyConfig, read_yaml(path), str(path))
    language = study.language
    if isinstance(language, str):
        language = _found(language, path.parent)
    elif isinstance(language, Mapping) and isinstance(language.get("file"), str):
        language = dict(language) | {"file": _found(language["file"], path.parent)}
    return replace(study, language=language)


def _found(name: str, folder: Path) -> str:
    """The full path of a language file beside the study, or in the working directory; any other name as it is."""
    for place in (folder / name, Path(name)):
        if place.suffix and place.is_file():
            return str(place.resolve())
    return name
