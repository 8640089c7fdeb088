"""Downstream accuracy as rows of results: each probe of each checkpoint, and the baselines beside it, taken once.

What is left to measure of a checkpoint is taken together: its features are computed once for all linear probes, as are
those of the look-up table. Rows are as measure.py has them.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from ... import __version__
from ...estimate import Estimate
from ...generators import Language
from ...generators.tasks import Task, find_task
from ...models import MaskedLM, build_model, load_model
from ...probes import FineTuning, Reading, fine_tune, linear_probes, majority_class
from ...randomness import random_stream
from ...system.disk import append_missing, check_appendable
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import RESULTS, Run
from .measure import Row, measured, size_of, values_of
from .probe_config import ProbeConfig
from .probe_readings import probe_readings
from .result_cache import known_rows, of_key

Progress = Callable[[float, int], object]
"""What is told how many of how many are done, part of the next one included."""

Probe = tuple[str, Reading]
"""A method, and what it reads."""

NO_LOOKUP = "the language's conditionals are not defined at this task's own inputs"


def check_probe(
    run: Run, task_name: str, config: ProbeConfig, step: int | None = None, cache: str | None = None
) -> None:
    """Raises InputError for what `measure_probe` refuses before it measures anything, damaged checkpoints included."""
    task = find_task(run.language, task_name)
    config.extraction(cache)
    readings = probe_readings(run.model, run.language.max_length, config)
    for at, folder in chosen_checkpoints(run, step):
        keys = (_probe_key(run, at, task.name, config, *probe) for probe in product(config.methods, readings))
        if not all(known_rows(run.folder / RESULTS, key) for key in keys):
            load_model(folder)


def measure_probe(
    run: Run,
    task_name: str,
    config: ProbeConfig,
    step: int | None = None,
    cache: str | None = None,
    on_part: Progress = lambda done, of: None,
) -> Iterator[Row]:
    """Downstream accuracy on each checkpoint's features, or after fine-tuning: a row for each method and reading.

    cache: the directory for features that memory has no room for. Rows are kept once all probes that share an extraction
    are taken, and share their seconds. on_part(checkpoints done, in all) is called as fits and epochs end.
    """
    task, file = find_task(run.language, task_name), run.folder / RESULTS
    readings = probe_readings(run.model, run.language.max_length, config)
    chosen = chosen_checkpoints(run, step)
    for number, (at, folder) in enumerate(chosen):
        keys = {probe: _probe_key(run, at, task.name, config, *probe) for probe in product(config.methods, readings)}
        groups = _sharing([probe for probe in keys if not known_rows(file, keys[probe])])
        for index, group in enumerate(groups):
            check_appendable(file)
            begin = time.perf_counter()
            model = load_model(folder).to(run.language.device)
            progress = _part_of(on_part, number, index, len(groups), len(chosen))
            taken = _accuracies(model, run.language, task, config, group, cache, progress)
            _keep(file, {probe: keys[probe] for probe in group}, taken, begin)
        on_part(number + 1, len(chosen))
        for key in keys.values():
            yield from known_rows(file, key)


def _sharing(left: list[Probe]) -> list[list[Probe]]:
    """The probes that one extraction serves: linear ones with the same readings; fine-tuning is by itself."""
    of_method: dict[str, list[Reading]] = {}
    for method, reading in left:
        of_method.setdefault(method, []).append(reading)
    groups: dict[tuple[Any, ...], list[Probe]] = {}
    for method, readings in of_method.items():
        alone = method if method == "fine-tune" else None
        groups.setdefault((alone, *readings), []).extend((method, reading) for reading in readings)
    return list(groups.values())


def _part_of(on_part: Progress, number: int, index: int, groups: int, of: int) -> Progress:
    """Tells how far all is by how far one of the groups of item `number` of `of` is."""
    return lambda done, parts: on_part(number + (index + done / parts) / groups, of)


def _probe_key(run: Run, step: int, task: str, config: ProbeConfig, method: str, reading: Reading) -> Row:
    settings = json.dumps(config.settings(method, reading), sort_keys=True)
    where = {name: value for name, value in asdict(reading).items() if value is not None}
    key: Row = {"model": run.model, "seed": run.config.seed, "step": step, "what": "probe", "method": method}
    return key | {"settings": settings, "task": task} | where


def _keep(file: Path, keys: dict[Probe, Row], taken: dict[Probe, Row], begin: float) -> None:
    """Adds the rows to the file, all at once, but for those that another process has added meanwhile.

    The time since they were begun is shared among them.
    """
    shared = {"seconds": (time.perf_counter() - begin) / len(keys), "satlab": __version__}
    append_missing(
        file,
        lambda there: [keys[probe] | row | shared for probe, row in taken.items() if not of_key(there, keys[probe])],
    )


def _accuracies(
    model: MaskedLM,
    language: Language,
    task: Task,
    config: ProbeConfig,
    group: list[Probe],
    cache: str | None,
    on_part: Progress,
) -> dict[Probe, Row]:
    """The values of probes that share an extraction."""
    more = size_of(model) | {"unit": "accuracy"}
    hows = {method: config.how(method) for method, _ in group}
    methods = {method: how for method, how in hows.items() if not isinstance(how, FineTuning)}
    if isinstance(tuning := hows.get("fine-tune"), FineTuning):
        tuned = fine_tune(model, language, task, **asdict(config.samples), how=tuning, on_epoch=on_part)
        return {group[0]: values_of(tuned) | more}
    readings = list(dict.fromkeys(reading for _, reading in group))
    taken = linear_probes(model, language, task, methods, readings, config.samples, config.extraction(cache), on_part)
    penalties = {probe: {"l2": list(taken[probe].l2)} for probe in group if config.l2 is None and taken[probe].l2}
    return {probe: values_of(taken[probe]) | penalties.get(probe, {}) | more for probe in group}


def measure_baselines(
    language: Language,
    task_name: str,
    config: ProbeConfig,
    file: Path,
    cache: str | None = None,
    on_part: Progress = lambda done, of: None,
) -> Iterator[Row]:
    """What stands beside every probe of a task: majority class, a probe on the look-up table, the Bayes optimum.

    The rows are kept in the file; they belong to the language, whose fingerprint they bear, and have no step. The
    look-up table is probed as the models are, at the same positions; beside fine-tuning, which it has no weights for,
    by the optimum. A task with inputs of its own has no look-up table: instead comes a row of value null that says so
    under the key skipped, and is not kept. on_part(baselines done, in all) is called as fits end.
    """
    task, whole = find_task(language, task_name), replace(config, layer=None)
    methods = dict.fromkeys("linear" if method == "fine-tune" else method for method in config.methods)
    readings = whole.readings(0, language.max_length)
    names = [("majority", Reading()), *(("lookup", reading) for reading in readings), ("bayes", Reading())]
    about = {"task": task.name, "language_fingerprint": language.fingerprint()}
    keys = {(one, *of): _baseline_key(whole, one, *of) | about for of, one in product(names, methods)}
    tables = {(method, reading): key for (method, name, reading), key in keys.items() if name == "lookup"}
    of_task = _of_task(language, task, config)
    for number, ((_, name, _), key) in enumerate(keys.items()):
        if name == "lookup" and task.own_inputs:
            nothing = {"value": None, "stderr": None, "n": 0, "unit": "accuracy", "skipped": NO_LOOKUP}
            yield key | nothing | {"seconds": 0.0, "satlab": __version__}
        elif name == "lookup":
            for group in _sharing([probe for probe in tables if not known_rows(file, tables[probe])]):
                check_appendable(file)
                begin, table = time.perf_counter(), build_model("lookup", language).to(language.device)
                progress = _parts_of(on_part, number, len(group), len(keys))
                taken = _accuracies(table, language, task, whole, group, cache, progress)
                rows = {probe: row | {"parameters": None} for probe, row in taken.items()}
                _keep(file, {probe: tables[probe] for probe in group}, rows, begin)
            yield from known_rows(file, key)
        else:
            take = of_task[name]
            yield from measured(file, key, lambda take=take: [values_of(take()) | {"unit": "accuracy"}])  # type: ignore[misc]
        on_part(number + 1, len(keys))


def _baseline_key(config: ProbeConfig, method: str, name: str, reading: Reading) -> Row:
    key: Row = {"model": None, "parameters": None, "seed": None, "step": None, "what": "probe", "method": name}
    key |= {"settings": json.dumps(config.settings(method, reading), sort_keys=True)}
    return key | ({} if reading.position is None else {"position": reading.position})


def _of_task(language: Language, task: Task, config: ProbeConfig) -> dict[str, Callable[[], Estimate]]:
    """What depends on no method, taken once for all of them."""

    @cache
    def bayes() -> Estimate:
        return task.bayes_accuracy(config.test_sentences, random_stream(config.seed, "tasks", device=language.device))

    return {"majority": cache(lambda: majority_class(language, task, **asdict(config.samples))), "bayes": bayes}


def _parts_of(on_part: Progress, number: int, size: int, of: int) -> Progress:
    """Tells how far all is by how far a group of so many is, the first of which is item `number` of `of`."""
    return lambda done, parts: on_part(number + size * done / parts, of)
