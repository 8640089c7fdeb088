"""Models of a study that are averages of another one's weights: made once that one is trained, then measured."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ...errors import InputError, placed, unknown
from ...system.yaml_files import read_yaml
from ...train import TrainConfig, checkpoints
from ..file_names import CONFIG, PUT_BACK
from ..reading import STUDY, from_mapping
from ..runs.average import Averaging, average
from ..runs.config_file import AVERAGED
from ..runs.run import Run, load_run
from .checks import run_name
from .config import StudyConfig
from .jobs import Cell, measurements, planned_measurements, train_cell

SOURCE = "average_of"
"""The key by which a model of a study is the average of another one."""

KEYS = (SOURCE, "ema", "last")
"""What such a model may say."""


def source_of(study: StudyConfig, name: str) -> str | None:
    """The model whose weights a model of the study averages; None where it is trained itself.

    Args:
        study: its settings.
        name: a key of its `models`.

    Returns:
        A key of its `models`.

    Raises:
        InputError: for a key that is none of them, or an average itself.
    """
    changes = study.models.get(name)
    if not isinstance(changes, Mapping) or SOURCE not in changes:
        return None
    source = changes[SOURCE]
    trained = [key for key, other in study.models.items() if not (isinstance(other, Mapping) and SOURCE in other)]
    if source not in trained:
        raise unknown("model to average", source, trained).at(STUDY, f"model {name}")
    return str(source)


def trained_models(study: StudyConfig) -> list[str]:
    """The keys of a study's `models` that are trained."""
    return [name for name in study.models if source_of(study, name) is None]


def averaging_of(study: StudyConfig, name: str) -> Averaging:
    """Which average a model of a study is; an InputError for other settings, and for none or two averages."""
    changes = dict(study.models[name])
    for key in changes:
        if key not in KEYS:
            raise unknown("key", key, KEYS).at(STUDY, f"model {name}")
    changes.pop(SOURCE)
    with placed(STUDY, f"model {name}"):
        return from_mapping(Averaging, changes, "")


def check_averages(study: StudyConfig, out: Path, trainings: Mapping[str, TrainConfig]) -> None:
    """Checks the averages of a study, and that the directory holds none of another kind under their names.

    Args:
        study: its settings.
        out: its directory.
        trainings: key of a model that is trained -> its training.

    Raises:
        InputError: for an average that the training of its source will not have.
    """
    for name, source in _averages(study):
        how, config = averaging_of(study, name), trainings[source]
        if how.ema and config.average is None:
            said = f"ema of '{source}', whose training keeps no average, expected one; give it average: 0.999"
            raise InputError(said, STUDY, f"model {name}")
        if not how.steps(config.kept_steps):
            said = f"last is {how.last}, expected at most {len(config.kept_steps)}, the checkpoints of '{source}'"
            raise InputError(f"{said}; give fewer, or more checkpoints there", STUDY, f"model {name}")
        for seed in study.seeds:
            _is_there(out / "runs" / run_name(name, seed), out / "runs" / run_name(source, seed), how, config)


def _averages(study: StudyConfig) -> list[tuple[str, str]]:
    """(name, the one that it averages) of each average in a study."""
    return [(name, source) for name in study.models if (source := source_of(study, name)) is not None]


def _is_there(folder: Path, source: Path, how: Averaging, config: TrainConfig) -> bool:
    """Whether a directory holds this average already; an InputError where it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    there = read_yaml(folder / CONFIG, PUT_BACK).get(AVERAGED) if (folder / CONFIG).is_file() else None
    given = {"run": source.name} | how.described(config)
    if not isinstance(there, Mapping) or {**there, "run": Path(str(there.get("run"))).name} != given:
        said = f"{there} there, {given} given" if there else "none there"
        raise InputError(f"{folder} holds another run (average: {said}); choose another --out")
    return True


def following(study: StudyConfig, cell: Cell, trained: bool = True) -> list[Cell]:
    """The cells that a cell gives rise to.

    Args:
        study: its settings.
        cell: it has ended.
        trained: whether its training, if it is one, went as far as it can.

    Returns:
        For a training, its measurements and the averages of its weights; for an average, its measurements.
    """
    _, function, arguments = cell
    if function is average_cell:
        return measurements(arguments[0], study)
    if function is not train_cell:
        return []
    folder = arguments[0]
    cells = measurements(folder, study)
    for name, seed in _averages_of(study, folder.name) if trained else ():
        target, how = folder.with_name(run_name(name, seed)), averaging_of(study, name)
        cells.append((f"average {target.name}", average_cell, (target, folder, how, study.device)))
    return cells


def _averages_of(study: StudyConfig, run: str) -> Iterable[tuple[str, int]]:
    """(name, seed) of each average of a run of a study."""
    pairs = [(name, source, seed) for name, source in _averages(study) for seed in study.seeds]
    return [(name, seed) for name, source, seed in pairs if run_name(source, seed) == run]


def planned(study: StudyConfig, run: Run) -> Counter[Callable[..., None]]:
    """Function -> how many cells by it follow a training that keeps the checkpoints it is told to."""
    kept = run.config.kept_steps
    cells = planned_measurements(len(kept), study)
    for name, _ in _averages_of(study, run.folder.name):
        steps = len(averaging_of(study, name).steps(kept))
        cells += Counter({average_cell: 1}) + planned_measurements(steps, study)
    return cells


def planned_after(study: StudyConfig, cell: Cell) -> Counter[Callable[..., None]]:
    """Function -> how many cells by it follow an average, once its source is trained; none follow other cells."""
    if cell[1] is not average_cell:
        return Counter()
    _, source, how, _ = cell[2]
    return planned_measurements(len(how.steps([step for step, _ in checkpoints(source)])), study)


def average_cell(folder: Path, source: Path, how: Averaging, device: str) -> None:
    """In a worker: makes the average of a trained run, where it is not there yet.

    Args:
        folder: of the average.
        source: the trained run.
        how: which average.
        device: where KL is measured.
    """
    run = load_run(source)
    if not _is_there(folder, source, how, run.config):
        average(run.on(device), how, folder)
