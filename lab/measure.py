"""Measurements on a run's checkpoints: one row each, taken once, on the device that the run's language is on.

A row: model, parameters (their number), seed, step (null for what belongs to the language), what, method, task, block,
settings (JSON), value, stderr, n, unit, seconds, satlab. What was measured before with the same settings is not measured again.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from .. import __version__
from ..disk import append_lines, read_lines
from ..errors import InputError, unknown
from ..estimate import Estimate
from ..generators import Language
from ..generators.stream import evaluation_set
from ..generators.tasks import Task, find_task
from ..models import MaskedLM, build_model, load_model
from ..models.build import NAME
from ..models.widen import widen
from ..probes import AdamW, FineTuning, Optimum, Reading, fine_tune, linear_probe, linear_probes, majority_class
from ..probes.store import IN_MEMORY
from ..randomness import random_stream
from ..train import kl_to_truth
from .config import EvaluateConfig, FlatnessConfig, ProbeConfig
from .flatness_rows import FLATNESS, Measurement
from .run import RESULTS, Run

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Probe methods that belong to the language and its task, not to a model."""

ENLARGED = "hessian_trace_enlarged"
"""What a trace inside a larger model is called."""

NO_LOOKUP = "the language's conditionals are not defined at this task's own inputs"


def check_method(name: str) -> None:
    """Raises InputError for an unknown flatness method, naming the nearest."""
    if name not in FLATNESS:
        raise unknown("flatness method", name, FLATNESS)


def chosen_checkpoints(run: Run, step: int | None) -> list[tuple[int, Path]]:
    """All checkpoints of a run, or the one of a step. Raises InputError where there is none."""
    found = run.checkpoints
    if not found:
        raise InputError(f"{run.folder}: no checkpoint yet, expected a trained run; run satlab train first")
    if step is None:
        return found
    steps = [s for s, _ in found]
    if step not in steps:
        raise InputError(f"{run.folder}: no checkpoint of step {step}, expected one of {steps}")
    return [found[steps.index(step)]]


def measure_kl(run: Run, config: EvaluateConfig, step: int | None = None) -> Iterator[Row]:
    """KL(truth || model) and the floor of the same held-out contexts, nats, for each checkpoint."""
    # Not the sentences on which training decided when to stop.
    held_out = cache(
        lambda: evaluation_set(run.language, config.sentences, config.seed, run.config.masking or "one", "measurement")
    )
    for at, folder in chosen_checkpoints(run, step):
        key = _key(run, at, "kl", "exact-truth", config)

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder).to(run.language.device)
            kl = kl_to_truth(model, held_out())
            yield _values(kl) | _size(model) | {"unit": "nats", "floor": held_out().floor.value}

        yield from _measured(run.folder / RESULTS, key, take)


def measure_flatness(
    run: Run, config: FlatnessConfig, step: int | None = None, enlarge_to: str | None = None
) -> Iterator[Row]:
    """Tr(H), or what else the method measures, for each checkpoint: rows for the total and each block of parameters.

    With enlarge_to it is that of the same function inside this larger model (see models/widen.py), called
    hessian_trace_enlarged; the row's model and parameters remain the small one's.
    """
    check_method(config.method)
    what, take_rows = FLATNESS[config.method]
    generator = random_stream(config.seed, "evaluation", 2, device=run.language.device)
    sentences = run.language.sample(config.contexts, generator, latents=False)
    for at, folder in chosen_checkpoints(run, step):
        key = _key(run, at, what, config.method, config)
        if enlarge_to is not None:
            key |= {"what": f"{what}_enlarged", "settings": _settings(config, enlarge_to=enlarge_to)}

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder)
            viewed = (model if enlarge_to is None else widen(model, enlarge_to)).to(run.language.device)
            measurement = Measurement(viewed, run.language, sentences, run.config.masking or "one", config)
            for value, more in take_rows(measurement):
                yield _values(value) | _size(model) | more

        yield from _measured(run.folder / RESULTS, key, take)


def probe_readings(run: Run, config: ProbeConfig) -> list[Reading]:
    """What the probes of a run's model read. Raises InputError for a layer or a position that is not there."""
    found = NAME.fullmatch(run.model)
    return config.readings(int(found["layers"]) if found else 0, run.language.max_length)


def features_need_disk(run: Run, config: ProbeConfig) -> bool:
    """Whether a probe's features of all words are more than memory is given for."""
    found = NAME.fullmatch(run.model)
    width = (int(found["width"]) if found else 0) if config.projection is None else 0
    return config.train_sentences * run.language.max_length * width * 4 > IN_MEMORY


def measure_probe(
    run: Run, task_name: str, config: ProbeConfig, step: int | None = None, cache: str | None = None
) -> Iterator[Row]:
    """Downstream accuracy on each checkpoint's features, or after fine-tuning: a row for each method and reading.

    cache: the directory for features that memory has no room for. Rows taken together share their seconds.
    """
    task = find_task(run.language, task_name)
    probes = [(method, reading) for reading in probe_readings(run, config) for method in config.methods]
    file = run.folder / RESULTS
    for at, folder in chosen_checkpoints(run, step):
        keys = {probe: _probe_key(run, at, task_name, config, *probe) for probe in probes}
        left = [probe for probe in probes if not _known(file, keys[probe])]
        if left:
            begin = time.perf_counter()
            model = load_model(folder).to(run.language.device)
            taken = _accuracies(model, run.language, task, config, left, cache)
            shared = {"seconds": (time.perf_counter() - begin) / len(left), "satlab": __version__}
            append_lines(file, [keys[probe] | row | shared for probe, row in taken.items()])
        for probe in probes:
            yield from _known(file, keys[probe])


def _probe_key(run: Run, step: int, task: str, config: ProbeConfig, method: str, reading: Reading) -> Row:
    settings = json.dumps(config.settings(method, reading), sort_keys=True)
    where = {name: value for name, value in asdict(reading).items() if value is not None}
    key: Row = {"model": run.model, "seed": run.config.seed, "step": step, "what": "probe", "method": method}
    return key | {"settings": settings, "task": task} | where


def _accuracies(
    model: MaskedLM,
    language: Language,
    task: Task,
    config: ProbeConfig,
    probes: list[tuple[str, Reading]],
    cache: str | None,
) -> dict[tuple[str, Reading], Row]:
    """The values of probes that are not known yet, features taken once for all of them."""
    found: dict[tuple[str, Reading], Row] = {}
    for method, reading in probes:
        how = config.how(method)
        if isinstance(how, FineTuning):
            found[method, reading] = _values(fine_tune(model, language, task, **asdict(config.samples), how=how))
    frozen = {method: how for method, _ in probes if not isinstance(how := config.how(method), FineTuning)}
    readings = list(dict.fromkeys(reading for method, reading in probes if method in frozen))
    if readings:
        taken = linear_probes(
            model, language, task, frozen, readings, config.samples, config.extraction(cache)
        )  # fmt: skip
        for probe in probes:
            if probe in taken:
                penalty = {"l2": list(taken[probe].l2)} if config.l2 is None and taken[probe].l2 else {}
                found[probe] = _values(taken[probe]) | penalty
    return {probe: row | _size(model) | {"unit": "accuracy"} for probe, row in found.items()}


def measure_baselines(
    language: Language, task_name: str, config: ProbeConfig, file: Path, cache: str | None = None
) -> Iterator[Row]:
    """What stands beside every probe of a task: majority class, a probe on the look-up table, the Bayes optimum.

    The rows are kept in the file; they belong to the language and have no step. The look-up table is probed as the models
    are, at the same positions; beside fine-tuning, which it has no weights for, by the optimum. A task with inputs of its
    own has no look-up table: instead comes a row of value null that says so under the key skipped, and is not kept.
    """
    for method in dict.fromkeys("linear" if name == "fine-tune" else name for name in config.methods):
        yield from _baselines(language, task_name, replace(config, method=method, layer=None), file, cache)


def _baselines(language: Language, task_name: str, config: ProbeConfig, file: Path, cache: str | None) -> Iterator[Row]:
    task, samples, (method,) = find_task(language, task_name), asdict(config.samples), config.methods
    how = config.how(method)
    assert isinstance(how, Optimum | AdamW)

    def bayes() -> Estimate:
        return task.bayes_accuracy(config.test_sentences, random_stream(config.seed, "tasks", device=language.device))

    def lookup(reading: Reading) -> Estimate:
        table, extraction = build_model("lookup", language).to(language.device), config.extraction(cache)
        return linear_probe(table, language, task, **samples, method=how, reading=reading, extraction=extraction)

    sources: list[tuple[str, Reading, Callable[[], Estimate]]] = [
        ("majority", Reading(), lambda: majority_class(language, task, **samples)),
        *(("lookup", reading, partial(lookup, reading)) for reading in config.readings(0, language.max_length)),
        ("bayes", Reading(), bayes),
    ]
    for name, reading, source in sources:
        key: Row = {"model": None, "parameters": None, "seed": None, "step": None, "what": "probe", "method": name}
        key |= {"task": task_name, "settings": json.dumps(config.settings(method, reading), sort_keys=True)}
        key |= {} if reading.position is None else {"position": reading.position}
        if name == "lookup" and task.own_inputs:
            nothing = {"value": None, "stderr": None, "n": 0, "unit": "accuracy", "skipped": NO_LOOKUP}
            yield key | nothing | {"seconds": 0.0, "satlab": __version__}
            continue

        def take(source: Callable[[], Estimate] = source) -> list[Row]:
            return [_values(source()) | {"unit": "accuracy"}]

        yield from _measured(file, key, take)


def _known(file: Path, key: Row) -> list[Row]:
    return [row for row in read_lines(file) if all(row.get(name) == value for name, value in key.items())]


def _measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of the file under this key; where there are none they are taken and added to it, all at once."""
    if known := _known(file, key):
        return known
    begin = time.perf_counter()
    taken = list(take())
    shared = {"seconds": time.perf_counter() - begin, "satlab": __version__}
    rows = [key | row | shared for row in taken]
    append_lines(file, rows)
    return rows


def _key(run: Run, step: int, what: str, method: str, config: Any) -> Row:
    of_run = {"model": run.model, "seed": run.config.seed, "step": step}
    return of_run | {"what": what, "method": method, "settings": _settings(config)}


def _values(estimate: Estimate) -> Row:
    # A single draw has no standard error; JSON has no nan.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def _size(model: MaskedLM) -> Row:
    """The number of parameters, tied ones once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def _settings(config: Any, **more: Any) -> str:
    return json.dumps(asdict(config) | more, sort_keys=True)
