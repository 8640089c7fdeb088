"""What a study is told, and how its file is read."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import InputError, at_least, placed, unknown
from ...generators.tasks import canonical_name
from ...system.yaml_files import read_yaml
from ...train import TrainConfig
from ..measurements.flatness_config import FlatnessConfig
from ..measurements.kl import EvaluateConfig
from ..measurements.probe_config import ProbeConfig
from ..reading import from_mapping

MERGED = {"train", "evaluate", "probe", "flatness"}
"""Keys of a study of which an extension may give a part."""

MEASURED = ("kl", "flatness", "probe")
"""What can be measured on every checkpoint."""

NAME = re.compile(r"[^/\\\x00-\x1f]+")
"""Of a study: it becomes a part of a file's name."""

STUDIES = Path(__file__).parent.parent.parent / "studies"


@dataclass(frozen=True)
class StudyConfig:
    """A grid of models, trained on one language and compared.

    Args:
        language: a preset, a language file (relative to the study's own), or what such a file would hold.
        models: name -> what differs for it from `train`; the name is that of a model, unless the key `model` gives it.
            With the key `from`, another key of `models`, training begins where that one's of the same seed ends. With
            the key `recipe` it is trained by that recipe, whatever `train` says.
        train: training, for all models.
        recipe: by which models without `from` are trained; `train` and the models' own settings replace its settings.
        seeds: training seeds; each is a run of its own.
        tasks: downstream tasks of the language, each a name or NAME:setting=value,... of a kind of task.
        evaluate: measurement of KL.
        probe: measurement of downstream accuracy.
        flatness: measurement of Tr(H).
        theorems: theorems to check on every checkpoint, each NAME or NAME:setting=value,...
        measure: what is measured on every checkpoint, of kl, flatness and probe.
        vary: keys of the language -> the values that each takes; the study is then a series, see lab/studies/series.py.
        curves: published lines that a series' figure shows; see lab/figures/series.py.
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
    recipe: str | None = None
    seeds: list[int] = field(default_factory=lambda: [0])
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    flatness: FlatnessConfig = field(default_factory=FlatnessConfig)
    theorems: list[str] = field(default_factory=list)
    measure: list[str] = field(default_factory=lambda: list(MEASURED))
    vary: dict[str, Any] = field(default_factory=dict)
    curves: list[Any] = field(default_factory=list)
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
        for quantity in self.measure:
            if quantity not in MEASURED:
                raise unknown("measure", quantity, MEASURED)
        if self.name is not None and not NAME.fullmatch(self.name):
            raise InputError(f"name is '{self.name}', expected the beginning of a file's name, without '/'; rename it")

    @property
    def num_workers(self) -> int:
        """Cells that are done side by side."""
        return self.workers or (os.cpu_count() or 1 if self.device == "cpu" else 1)


def load_study(source: str) -> StudyConfig:
    """A study by its path, or by the name of one that ships with satlab ("demo").

    With the key `extends`, the path or name of another study, all keys are that one's but for its name and those given
    here; of train, evaluate, probe and flatness single keys may be given.

    Args:
        source: the path or name.

    Returns:
        The study; a language's file has its full path.

    Raises:
        InputError: for a study that does not exist, an unknown key, and a value of a wrong type.
    """
    path, content = study_file(source)
    study = from_mapping(StudyConfig, content, str(path))
    language = study.language
    if isinstance(language, str):
        language = _found(language, path.parent)
    elif isinstance(language, Mapping) and isinstance(language.get("file"), str):
        language = dict(language) | {"file": _found(language["file"], path.parent)}
    tasks = [canonical_name(task) for task in study.tasks]
    return replace(study, language=language, tasks=tasks, name=study.name or path.stem)


def study_file(source: str, within: tuple[Path, ...] = ()) -> tuple[Path, dict[str, Any]]:
    """The path of a study and all its keys, those of the one it extends included.

    Args:
        source: the path or name.
        within: the files that extend it.

    Returns:
        (The path, key -> value.)

    Raises:
        InputError: for a study that does not exist, and one that extends itself.
    """
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
        with placed(str(path), "extends"):
            _shipped(base)
    _, inherited = study_file(str(beside) if beside.is_file() else base, (*within, path))
    inherited.pop("name", None)
    for key in MERGED & content.keys() & inherited.keys():
        if isinstance(content[key], Mapping):
            content[key] = {**inherited[key], **content[key]}
    return path, inherited | content


def _shipped(name: str) -> Path:
    """The file of a study that ships with satlab; an InputError for another name."""
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
