"""What a study refuses before it writes anything: another language's directory, settings that no measurement takes."""

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError, placed
from ...generators import Language, load_language
from ...generators.tasks import Task, find_task
from ...models.build import check_size
from ...models.names import network_of
from ...models.widen import check_larger
from ...system.disk import LONGEST_NAME
from ...system.yaml_files import read_yaml
from ..file_names import CONFIG, PUT_BACK, STUDY_FILE, same_file
from ..measurements.feature_choices import feature_choices
from ..measurements.probe import check_methods
from ..measurements.theorem import theorem_of
from ..reading import STUDY
from .config import StudyConfig, load_study

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=,-]*")
"""Of a model in a study: it becomes a directory."""


PLAIN = (bool, int, float, str, tuple)
"""Attributes of a task that are compared by value; others are the same where they are one object."""


def run_name(model: str, seed: int) -> str:
    """What the directory of a study's run is called; model: a key of the study's `models`."""
    return f"{model}-seed{seed}"


def check_names(study: StudyConfig, out: Path) -> None:
    """Checks the language of a study and the names of its models, which become directories.

    Raises:
        InputError: for a language that is neither a name nor a mapping, and for a name that no directory can have.
    """
    if not isinstance(study.language, (str, Mapping)):
        said = f"language is '{study.language}', expected a preset, a file or a mapping; correct it"
        raise InputError(said, STUDY)
    for name in study.models:
        if not isinstance(name, str):
            raise InputError("the name is no text, expected one; put it in quotes", STUDY, f"model {name}")
        if not NAME.fullmatch(name):
            said = "expected a name of letters, digits and '-_.:=,'; rename it"
            raise InputError(said, STUDY, f"model {name}")
        longest = max(len(run_name(name, seed)) for seed in study.seeds)
        if longest > LONGEST_NAME:
            most = max(len(name) - (longest - LONGEST_NAME), 1)
            said = f"a name of {len(name)} letters, expected at most {most}; shorten it"
            raise InputError(said, STUDY, f"model {name[:20]}...")
    if pair := same_file(study.models, out / "runs"):
        raise InputError(
            f"its directory has the same name as that of {pair[0]}, as this disk does not tell capitals from small "
            "letters; rename one of the two",
            STUDY,
            f"model {pair[1]}",
        )


def check_settings(study: StudyConfig, language: Language, models: Mapping[str, str]) -> None:
    """Checks what a study trains and measures.

    Args:
        study: its settings.
        language: its language.
        models: key of the study's `models` -> the model that it stands for.

    Raises:
        InputError: for a task, model, method or setting that does not exist or that a measurement would refuse.
    """
    _check_tasks(study, language)
    for spec in study.theorems:
        theorem_of(spec)
    study.probe.extraction(study.cache)
    for name, model in models.items():
        if model == "lookup":
            said = "'lookup' cannot be trained, every probe is compared with it; remove it"
            raise InputError(said, STUDY, f"model {name}")
        network_of(model)
        if study.enlarge_to is not None:
            check_larger(model, study.enlarge_to)
            check_size(study.enlarge_to, language.vocab_size, language.max_length)
        with placed(STUDY, f"probe of model {name}"):
            feature_choices(model, language.max_length, study.probe)
            for task in study.tasks:
                check_methods(study.probe, model, language, find_task(language, task))


def _check_tasks(study: StudyConfig, language: Language) -> None:
    """Raises InputError for a task that does not exist, and for one that is given under two names."""
    found: list[Task] = []
    for name in study.tasks:
        with placed(STUDY, "tasks"):
            task = find_task(language, name)
        if twin := next((other for other in found if _same_task(task, other)), None):
            said = f"'{twin.name}' and '{task.name}' are one task, expected each once; remove one of them"
            raise InputError(said, STUDY, "tasks")
        found.append(task)


def _same_task(one: Task, other: Task) -> bool:
    """Whether two tasks of one language differ in their names alone."""
    mine, its = ({key: value for key, value in vars(task).items() if key != "name"} for task in (one, other))
    return type(one) is type(other) and mine.keys() == its.keys() and all(_equal(mine[key], its[key]) for key in mine)


def _equal(one: object, other: object) -> bool:
    return one is other or (isinstance(one, PLAIN) and type(one) is type(other) and one == other)


def check_same_language(study: StudyConfig, language: Language, out: Path) -> None:
    """Checks that a directory holds no study or run of another language: an InputError where it does."""
    fingerprint = language.fingerprint()
    before = _study_there(out)
    if before is not None and (before.language, before.max_length) != (study.language, study.max_length):
        there = _language_of(before)
        if there is not None and (there.fingerprint(), there.max_length) != (fingerprint, language.max_length):
            raise _another(out, "a study", before.language, there.max_length, study, language)
    for file in sorted(out.glob(f"runs/*/{CONFIG}")):
        run = read_yaml(file, PUT_BACK)
        if (run.get("language_fingerprint"), run.get("max_length")) != (fingerprint, language.max_length):
            raise _another(file.parent, "a run", run.get("language"), run.get("max_length"), study, language)


def _another(
    folder: Path, what: str, there: object, length: object, study: StudyConfig, language: Language
) -> InputError:  # fmt: skip
    given = f"{study.language}, max_length {language.max_length}, given"
    shown = f"{there}, max_length {length}, there; {given}"
    return InputError(f"{folder} holds {what} of another language ({shown}); choose another --out")


def _study_there(out: Path) -> StudyConfig | None:
    """The study in the directory; None where there is none that can be read, of which the runs then tell."""
    try:
        return load_study(str(out / STUDY_FILE)) if (out / STUDY_FILE).is_file() else None
    except InputError:
        return None


def _language_of(study: StudyConfig) -> Language | None:
    """None where its file is gone by now."""
    try:
        return load_language(study.language, study.max_length)
    except InputError:
        return None
