"""What a measurement and a study are told, and how it is read: unknown keys and wrong types are errors, never dropped."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args

from jsonargparse import ArgumentError, ArgumentParser

from ..errors import InputError, at_least, unknown
from ..system.yaml_files import read_yaml
from ..train import TrainConfig
from .measurements.flatness_config import FlatnessConfig
from .measurements.probe_config import ProbeConfig

MERGED = {"train", "evaluate", "probe", "flatness"}
"""Keys of a study of which an extension may give a part."""

NAME = re.compile(r"[^/\\\x00-\x1f]+")
"""Of a study: it becomes a part of a file's name."""

STUDIES = Path(__file__).parent.parent / "studies"

T = TypeVar("T")


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
        at_least("seed", self.seed, 0)


@dataclass(frozen=True)
class StudyConfig:
    """A grid of models, trained on one language and compared.

    Args:
        language: a preset, a language file (relative to the study's own), or what such a file would hold.
        models: name -> what differs for it from `train`; the name is that of a model, unless the key `model` gives it.
        train: training, for all models.
        seeds: training seeds; each is a run of its own.
        tasks: downstream tasks of the language.
        evaluate: measurement of KL.
        probe: measurement of downstream accuracy.
        flatness: measurement of Tr(H).
        max_length: replaces the language's own.
        enlarge_to: a model of which all others are parts; Tr(H) is then also that of each inside it.
        form: figures and tables in a paper's form, beside the usual ones; see lab/paper.py.
        published: numbers to compare with; see lab/published.py.
        workers: cells side by side, one thread each; all cores unless given, one on a GPU.
        device: where models are trained and measured, cpu or cuda.
        cache: directory for probes' features that memory has no room for; the system's temporary one unless given.
        question: what the study asks, in a sentence; its report begins with it.
        name: of its comparison's files, figures/published-NAME; the file's name, without its ending, unless given.
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
    enlarge_to: str | None = None
    form: list[str] = field(default_factory=list)
    published: list[Any] = field(default_factory=list)
    workers: int | None = None
    device: str = "cpu"
    cache: str | None = None
    question: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if any(seed < 0 for seed in self.seeds):
            raise InputError(f"seeds are {self.seeds}, expected none below 0; correct them")
        at_least("probe seed", self.probe.seed, 0)
        if self.name is not None and not NAME.fullmatch(self.name):
            raise InputError(f"name is '{self.name}', expected the beginning of a file's name, without '/'; rename it")

    @property
    def num_workers(self) -> int:
        return self.workers or (os.cpu_count() or 1 if self.device == "cpu" else 1)


class _Reader(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(message)


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from what YAML gave. Raises InputError, naming `where`, for unknown keys and values of a wrong type."""
    _known_keys(kind, values, where)
    reader = _Reader(exit_on_error=False)
    reader.add_class_arguments(kind, as_group=False)
    try:
        return kind(**vars(reader.instantiate(reader.parse_object(dict(values)))))
    except (AttributeError, ArithmeticError, RecursionError):
        raise InputError(
            f"{where}: a value that cannot be read, expected plain numbers and texts; correct it"
        ) from None
    except (ValueError, TypeError, KeyError, ArgumentError) as error:
        raise InputError(f"{where}: {plain(str(error))}" if where else plain(str(error))) from None


def _known_keys(kind: Any, values: Mapping[str, Any], where: str) -> None:
    known: dict[str, Any] = {f.name: f.type for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}: {unknown('key', key, known)}")
        if value is None and type(None) not in get_args(known[key]):
            raise InputError(f"{where}: {key} is 'None', expected a value; give it, or leave the key out")
        if isinstance(value, Mapping) and (wrong := [name for name in value if not isinstance(name, str)]):
            raise InputError(f"{where}: {key} has the key {wrong[0]!r}, expected a name; put it into quotes")
        if hasattr(known[key], "__dataclass_fields__") and not isinstance(value, known[key]):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: {key} is '{value}', expected {KINDS['dict']}; correct it")
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


KINDS = {
    "int": "a whole number",
    "float": "a number",
    "tuple": "two numbers",
    "tuple with 2 elements": "two numbers",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "NoneType": "null",
    "list[int]": "a list of whole numbers",
    "list[float]": "a list of numbers",
}
"""A type -> as people say it. All tuples that a setting can be are pairs of numbers."""


def _kind(text: str) -> str:
    """Types as people write them: "a whole number or null"."""
    return " or ".join(KINDS.get(kind, kind) for kind in re.sub(r"<class '(\w+)'>", r"\1", text).split(", "))


def load_study(source: str) -> StudyConfig:
    """A study by its path, or by the name of one that ships with satlab ("demo").

    With the key `extends`, the path or name of another one, its keys are that one's, but for its name and for those it
    gives itself; of train, evaluate, probe and flatness it may give single keys.
    """
    path, content = _study_file(source)
    study = from_mapping(StudyConfig, content, str(path))
    language = study.language
    if isinstance(language, str):
        language = _found(language, path.parent)
    elif isinstance(language, Mapping) and isinstance(language.get("file"), str):
        language = dict(language) | {"file": _found(language["file"], path.parent)}
    return replace(study, language=language, name=study.name or path.stem)


def _study_file(source: str, within: tuple[Path, ...] = ()) -> tuple[Path, dict[str, Any]]:
    """The path of a study and all its keys, those of the one it extends included."""
    path = Path(source)
    if not path.is_file():
        path = _shipped(source)
    if path in within:
        raise InputError(f"{path}: extends itself, expected another study; correct the key extends")
    content = read_yaml(path)
    if "extends" not in content:
        return path, content
    base = content.pop("extends")
    if not isinstance(base, str):
        raise InputError(f"{path}: extends is '{base}', expected another study's path or name; correct it")
    beside = path.parent / base
    if not beside.is_file() and not Path(base).is_file():
        try:
            _shipped(base)
        except InputError as error:
            raise InputError(f"{path}, extends: {error}") from None
    _, inherited = _study_file(str(beside) if beside.is_file() else base, (*within, path))
    inherited.pop("name", None)
    for key in MERGED & content.keys() & inherited.keys():
        if isinstance(content[key], Mapping):
            content[key] = {**inherited[key], **content[key]}
    return path, inherited | content


def _shipped(name: str) -> Path:
    """The file of a study that ships with satlab. Raises InputError for another name."""
    shipped = sorted(p.stem for p in STUDIES.glob("*.yaml"))
    if name in shipped:
        return STUDIES / f"{name}.yaml"
    if Path(name).suffix in (".yaml", ".yml") and Path(name).stem not in shipped:
        raise InputError(f"{name}: no such file, expected a study; check the path")
    raise unknown("study", name, shipped)


def _found(name: str, folder: Path) -> str:
    """The full path of a language file beside the study, or in the working directory; any other name as it is."""
    for place in (folder / name, Path(name)):
        if place.suffix and place.is_file():
            return str(place.resolve())
    return name
