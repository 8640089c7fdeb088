"""What a study refuses before it writes anything: another language's directory, settings that no measurement takes."""

import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ...generators import Language, load_language
from ...generators.tasks import find_task
from ...models.build import check_size, size_of
from ...models.widen import check_larger
from ...system.disk import LONGEST_NAME
from ...system.yaml_files import read_yaml
from ..analysis.results import STUDY_FILE
from ..file_names import same_file
from ..measurements.feature_choices import feature_choices
from ..runs.run import CONFIG, PUT_BACK
from .config import StudyConfig, load_study

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Of a model in a study: it becomes a directory."""


def run_name(model: str, seed: int) -> str:
    """What the directory of a study's run is called; model: a key of the study's `models`."""
    return f"{model}-seed{seed}"


def check_names(study: StudyConfig, out: Path) -> None:
    """Raises InputError for a language that is neither a name nor a mapping, and for models that no directory can be called."""
    if not isinstance(study.language, (str, Mapping)):
        raise InputError(f"study, language is '{study.language}', expected a preset, a file or a mapping; correct it")
    for name in study.models:
        if not isinstance(name, str):
            raise InputError(f"study, model {name}: the name is no text, expected one; put it in quotes")
        if not NAME.fullmatch(name):
            raise InputError(f"study, model {name}: expected a name of letters, digits, '-', '_' and '.'; rename it")
        longest = max(len(run_name(name, seed)) for seed in study.seeds)
        if longest > LONGEST_NAME:
            given, most = f"study, model {name[:20]}...", len(name) - (longest - LONGEST_NAME)
            raise InputError(f"{given}: a name of {len(name)} letters, expected at most {max(most, 1)}; shorten it")
    if pair := same_file(study.models, out / "runs"):
        raise InputError(
            f"study, model {pair[1]}: a directory of the same name as {pair[0]} on this disk, which takes capitals for "
            "small letters; rename one"
        )


def check_settings(study: StudyConfig, language: Language, models: Mapping[str, str]) -> None:
    """Raises InputError for a task, model, method or setting that does not exist or that a measurement would refuse.

    models: key of the study's `models` -> the model that it stands for.
    """
    for task in study.tasks:
        find_task(language, task)
    study.probe.extraction(study.cache)
    for name, model in models.items():
        if model == "lookup":
            raise InputError(
                f"study, model {name}: 'lookup' has nothing to train, it stands beside every probe; remove it"
            )
        size_of(model)
        if study.enlarge_to is not None:
            check_larger(model, study.enlarge_to)
            check_size(study.enlarge_to, language.vocab_size, language.max_length)
        try:
            feature_choices(model, language.max_length, study.probe)
        except InputError as error:
            raise InputError(f"study, probe of model {name}: {error}") from None


def check_same_language(study: StudyConfig, language: Language, out: Path) -> None:
    """Raises InputError where the directory holds a study, or a run, of another language."""
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
