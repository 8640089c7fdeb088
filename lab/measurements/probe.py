"""Measures downstream accuracy, by every probe of every checkpoint, and its baselines. Each is measured once.

All missing feature probes of a checkpoint are measured together, so that its features are computed once. The same holds
for the look-up table. measure.py describes the rows.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path

from ... import __version__
from ...estimate import Estimate
from ...generators import Language
from ...generators.tasks import Task, find_task
from ...models import LanguageModel, build_model, load_model
from ...models.names import network_of
from ...probes import (
    FeatureChoice,
    FeatureProbe,
    ModelProbe,
    ProbeAccuracy,
    frozen_probes,
    is_model_probe,
    majority_class,
)
from ...randomness import random_stream
from ...system.disk import append_missing, check_appendable
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import RESULTS, Run
from .feature_choices import feature_choices
from .measure import Row, measured, size_of, values_of
from .probe_config import ProbeConfig, table_probe
from .result_cache import known_rows, of_key

Progress = Callable[[float, int], object]
"""progress(done, total); `done` includes the finished fraction of the current item."""

Probe = tuple[str, FeatureChoice]
"""The name of a probe, and the features that it reads."""

NO_LOOKUP = "the language's conditionals are not defined at this task's own inputs"
NO_TABLE = {"value": None, "stderr": None, "n": 0, "unit": "accuracy", "skipped": NO_LOOKUP, "seconds": 0.0}
"""The row of the look-up table for such a task."""


def check_probe(
    run: Run, task_name: str, config: ProbeConfig, step: int | None = None, cache: str | None = None
) -> None:
    """Makes the checks of `measure_probe` before anything is measured.

    Args:
        run: the run to measure.
        task_name: a task of its language.
        config: the settings.
        step: the step of one checkpoint; all checkpoints unless given.
        cache: directory for features that do not fit in memory.

    Raises:
        InputError: for a task, layer, position, checkpoint or directory that does not exist, a projection that is too
            wide, and a damaged checkpoint.
    """
    task = find_task(run.language, task_name)
    config.extraction(cache)
    choices = feature_choices(run.model, run.language.max_length, config)
    check_methods(config, run.model, run.language, task)
    for at, folder in chosen_checkpoints(run, step):
        keys = (_probe_key(run, at, task.name, config, *probe) for probe in product(config.methods, choices))
        if not all(known_rows(run.folder / RESULTS, key) for key in keys):
            load_model(folder)


def check_methods(config: ProbeConfig, model: str, language: Language, task: Task) -> None:
    """Checks that each probe applies to a model and a task.

    Raises:
        InputError: if one does not.
    """
    for method in config.methods:
        config.probe(method).check_use(model, network_of(model).causal, language, task, config.samples)


def measure_probe(
    run: Run,
    task_name: str,
    config: ProbeConfig,
    step: int | None = None,
    cache: str | None = None,
    on_part: Progress = lambda done, of: None,
) -> Iterator[Row]:
    """Measures downstream accuracy of each checkpoint.

    Rows are kept as soon as all probes that share an extraction are measured. They share the time equally.

    Args:
        run: the run to measure. Its results file keeps the rows.
        task_name: a task of its language.
        config: the settings.
        step: the step of one checkpoint; all checkpoints unless given.
        cache: directory for features that do not fit in memory.
        on_part: called with (checkpoints done, checkpoints in total) after fits and epochs.

    Yields:
        A row for each checkpoint, probe and choice of features.

    Raises:
        InputError: as `check_probe` does, and if a fit fails.
    """
    task, file = find_task(run.language, task_name), run.folder / RESULTS
    choices = feature_choices(run.model, run.language.max_length, config)
    work = _Work(run.language, task, config, cache)
    checkpoints = chosen_checkpoints(run, step)
    for number, (at, folder) in enumerate(checkpoints):
        keys = {probe: _probe_key(run, at, task.name, config, *probe) for probe in product(config.methods, choices)}
        groups = _sharing(probe for probe, key in keys.items() if not known_rows(file, key))
        for index, group in enumerate(groups):
            check_appendable(file)
            begin = time.perf_counter()
            model = load_model(folder).to(run.language.device)
            progress = _part_of(on_part, number, index, len(groups), len(checkpoints))
            taken = work.accuracies(model, group, progress)
            _keep(file, {probe: keys[probe] for probe in group}, taken, begin)
        on_part(number + 1, len(checkpoints))
        for key in keys.values():
            yield from known_rows(file, key)


def _sharing(probes: Iterable[Probe]) -> list[list[Probe]]:
    """Groups probes. Feature probes with the same choices share one extraction; each probe of the model is a group."""
    of_method: dict[str, list[FeatureChoice]] = {}
    for method, choice in probes:
        of_method.setdefault(method, []).append(choice)
    groups: dict[tuple[str, tuple[FeatureChoice, ...]], list[Probe]] = {}
    for method, choices in of_method.items():
        alone = method if is_model_probe(method) else ""
        groups.setdefault((alone, tuple(choices)), []).extend((method, choice) for choice in choices)
    return list(groups.values())


def _part_of(on_part: Progress, number: int, index: int, groups: int, of: int) -> Progress:
    """A function that converts the progress of group `index` of `groups` to that of item `number` of `of`."""
    return lambda done, parts: on_part(number + (index + done / parts) / groups, of)


def _probe_key(run: Run, step: int, task: str, config: ProbeConfig, method: str, choice: FeatureChoice) -> Row:
    settings = json.dumps(config.settings(method, choice), sort_keys=True)
    where = {name: value for name, value in asdict(choice).items() if value is not None}
    key: Row = {"model": run.model, "seed": run.config.seed, "step": step, "what": "probe", "method": method}
    return key | {"settings": settings, "task": task} | where


def _keep(file: Path, keys: dict[Probe, Row], taken: dict[Probe, Row], begin: float) -> None:
    """Appends the rows to the file, all at once, except those that another process has added in the meantime.

    The rows share the time since `begin` equally.
    """
    shared = {"seconds": (time.perf_counter() - begin) / len(keys), "satlab": __version__}
    append_missing(
        file,
        lambda there: [keys[probe] | row | shared for probe, row in taken.items() if not of_key(there, keys[probe])],
    )


@dataclass(frozen=True)
class _Work:
    """The arguments that all groups of probes share."""

    language: Language
    task: Task
    config: ProbeConfig
    cache: str | None

    def accuracies(self, model: LanguageModel, group: list[Probe], on_part: Progress) -> dict[Probe, Row]:
        """The values of the probes of a group that `_sharing` made."""
        more = size_of(model) | {"unit": "accuracy"}
        probes = {method: self.config.probe(method) for method, _ in group}
        alone = probes[group[0][0]]
        if isinstance(alone, ModelProbe):
            found = alone.accuracy(model, self.language, self.task, self.config.samples, on_part)
            return {group[0]: values_of(found) | _beside(found) | more}
        fitted = {name: probe for name, probe in probes.items() if isinstance(probe, FeatureProbe)}
        taken = frozen_probes(
            model,
            self.language,
            self.task,
            fitted,
            choices=list(dict.fromkeys(choice for _, choice in group)),
            samples=self.config.samples,
            extraction=self.config.extraction(self.cache),
            on_fit=on_part,
        )
        rows = {}
        for (method, choice), accuracy in taken.items():
            given = probes[method].row_settings()
            left_open = {name: list(values) for name, values in accuracy.chosen.items() if given.get(name) is None}
            rows[method, choice] = values_of(accuracy) | left_open | more
        return rows


def _beside(found: Estimate) -> Row:
    """The further results of a probe: column -> a value for each repeat, null for one that is not finite."""
    chosen = found.chosen if isinstance(found, ProbeAccuracy) else {}
    return {name: [value if math.isfinite(value) else None for value in values] for name, values in chosen.items()}


def measure_baselines(
    language: Language,
    task_name: str,
    config: ProbeConfig,
    file: Path,
    cache: str | None = None,
    on_part: Progress = lambda done, of: None,
) -> Iterator[Row]:
    """Measures the baselines of every probe of a task: majority class, a probe of the look-up table, Bayes optimum.

    The rows belong to the language, whose fingerprint they carry, and have no step. The look-up table is probed like
    the models, at the same positions. For a probe that trains weights of the model it is probed by `linear`, because it
    has no weights.

    A task with its own inputs has no look-up table. The function then yields a row with the value null, which is not
    kept and gives the reason under the key `skipped`.

    Args:
        language: the language of the task.
        task_name: a task of it.
        config: the settings.
        file: the results file that keeps the rows.
        cache: directory for features that do not fit in memory.
        on_part: called with (baselines done, baselines in total) after fits.

    Yields:
        The rows: majority class, look-up table at each position, Bayes optimum, each once for every probe.
    """
    task, whole = find_task(language, task_name), replace(config, layer=None)
    methods = dict.fromkeys(map(table_probe, config.methods))
    choices = whole.choices(0, language.max_length)
    names = [("majority", FeatureChoice()), *(("lookup", choice) for choice in choices), ("bayes", FeatureChoice())]
    about = {"task": task.name, "language_fingerprint": language.fingerprint()}
    keys = {
        (method, name, choice): _baseline_key(whole, method, name, choice) | about
        for (name, choice), method in product(names, methods)
    }
    tables = {(method, choice): key for (method, name, choice), key in keys.items() if name == "lookup"}
    work, of_task = _Work(language, task, whole, cache), _of_task(language, task, config)
    for number, ((_, name, _), key) in enumerate(keys.items()):
        if name == "lookup" and task.own_inputs:
            yield key | NO_TABLE | {"satlab": __version__}
        elif name == "lookup":
            for group in _sharing(probe for probe, row in tables.items() if not known_rows(file, row)):
                _measure_table(work, file, {probe: tables[probe] for probe in group}, on_part, number, len(keys))
            yield from known_rows(file, key)
        else:
            yield from measured(file, key, partial(_accuracy_row, of_task[name]))
        on_part(number + 1, len(keys))


def _accuracy_row(take: Callable[[], Estimate]) -> list[Row]:
    return [values_of(take()) | {"unit": "accuracy"}]


def _measure_table(work: _Work, file: Path, keys: dict[Probe, Row], on_part: Progress, number: int, total: int) -> None:
    """Measures a group of probes of the look-up table and keeps the rows. The first is item `number` of `total`."""
    check_appendable(file)
    begin = time.perf_counter()
    table = build_model("lookup", work.language).to(work.language.device)
    taken = work.accuracies(table, list(keys), lambda done, parts: on_part(number + len(keys) * done / parts, total))
    _keep(file, keys, {probe: row | {"parameters": None} for probe, row in taken.items()}, begin)


def _baseline_key(config: ProbeConfig, method: str, name: str, choice: FeatureChoice) -> Row:
    key: Row = {"model": None, "parameters": None, "seed": None, "step": None, "what": "probe", "method": name}
    key |= {"settings": json.dumps(config.settings(method, choice), sort_keys=True)}
    return key | ({} if choice.position is None else {"position": choice.position})


def _of_task(language: Language, task: Task, config: ProbeConfig) -> dict[str, Callable[[], Estimate]]:
    """Name of each baseline that depends on no probe -> its measurement, made once for all probes."""

    @cache
    def bayes() -> Estimate:
        return task.bayes_accuracy(config.test_sentences, random_stream(config.seed, "tasks", device=language.device))

    @cache
    def majority() -> Estimate:
        return majority_class(language, task, **asdict(config.samples))

    return {"majority": majority, "bayes": bayes}
