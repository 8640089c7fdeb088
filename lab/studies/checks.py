"""What a study refuses before it writes anything: another language's directory, settings that no measurement takes."""

from collections.abc import Mapping
from pathlib import Path

from ...errors import InputError
from ...generators import Language, load_language
from ...generators.tasks import find_task
from ...models.build import check_size, size_of
from ...models.widen import check_larger
from ..analysis.results import STUDY_FILE
from ..config import StudyConfig, load_study, read_yaml
from ..measurements.probe_readings import probe_readings
from ..runs.run import CONFIG, PUT_BACK


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
            probe_readings(model, language.max_length, study.probe)
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
