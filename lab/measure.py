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
from itertools import product
from pathlib import Path
from typing import Any

from .. import __version__
from ..disk import append_lines
from ..errors import InputError, unknown
from ..estimate import Estimate
from ..generators import Language
from ..generators.stream import evaluation_set
from ..generators.tasks import Task, find_task
from ..models import MaskedLM, build_model, load_model
from ..models.widen import widen
from ..probes import AdamW, FineTuning, Optimum, Reading, fine_tune, linear_probe, linear_probes, majority_class
from ..randomness import random_stream
from ..train import kl_to_truth
from .config import EvaluateConfig, FlatnessConfig, ProbeConfig
from .flatness_rows import FLATNESS, Measurement
from .known import known_rows, of_method
from .probe_readings import probe_readings
from .run import RESULTS, Run

Row = dict[str, Any]

Progress = Callable[[float, int], object]
"""What is told how many of how many are done, part of the next one included."""

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
            floor = held_out().floor
            yield _values(kl) | _size(model) | {"unit": "nats", "floor": floor.value, "floor_stderr": floor.stderr}

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
        key |= {"settings": of_method(key)}

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder)
            viewed = (model if enlarge_to is None else widen(model, enlarge_to)).to(run.language.device)
            measurement = Measurement(viewed, run.language, sentences, run.config.masking or "one", config)
            for value, more in take_rows(measurement):
                yield _values(value) | _size(model) | more

        yield from _measured(run.folder / RESULTS, key, take)


def check_probe(
    run: Run, task_name: str, config: ProbeConfig, step: int | None = None, cache: str | None = None
) -> None:
    """Raises InputError for what `measure_probe` refuses before it measures anything, damaged checkpoints included."""
    find_task(run.language, task_name)
    config.extraction(cache)
    readings = probe_readings(run.model, run.language.max_length, config)
    for at, folder in chosen_checkpoints(run, step):
        keys = (_probe_key(run, at, task_name, config, *probe) for probe in product(config.methods, readings))
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

    cache: the directory for features that memory has no room for. A method's rows are kept once all its readings of a
    checkpoint are taken, and share their seconds. on_part(checkpoints done, in all) is called as fits and epochs end.
    """
    task, file = find_task(run.language, task_name), run.folder / RESULTS
    readings = probe_readings(run.model, run.language.max_length, config)
    chosen, methods = chosen_checkpoints(run, step), config.methods
    for number, ((at, folder), method) in enumerate(product(chosen, methods)):
        keys = {reading: _probe_key(run, at, task_name, config, method, reading) for reading in readings}
        if left := [reading for reading in readings if not known_rows(file, keys[reading])]:
            begin = time.perf_counter()
            model = load_model(folder).to(run.language.device)
            progress = _part_of(on_part, number, len(methods), len(chosen))
            taken = _accuracies(model, run.language, task, config, method, left, cache, progress)
            shared = {"seconds": (time.perf_counter() - begin) / len(left), "satlab": __version__}
            append_lines(file, [keys[reading] | row | shared for reading, row in taken.items()])
        on_part((number + 1) / len(methods), len(chosen))
        for reading in readings:
            yield from known_rows(file, keys[reading])


def _part_of(on_part: Progress, number: int, each: int, of: int) -> Progress:
    """Tells how far all is by how far the part of this number is, of which there are `each` in one of `of`."""
    return lambda done, parts: on_part((number + done / parts) / each, of)


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
    method: str,
    readings: list[Reading],
    cache: str | None,
    on_part: Progress,
) -> dict[Reading, Row]:
    """The values of a method's readings, features taken once for all of them."""
    how, more = config.how(method), _size(model) | {"unit": "accuracy"}
    if isinstance(how, FineTuning):
        (reading,) = readings
        return {
            reading: _values(fine_tune(model, language, task, **asdict(config.samples), how=how, on_epoch=on_part))
            | more
        }
    taken = linear_probes(
        model, language, task, {method: how}, readings, config.samples, config.extraction(cache), on_part
    )
    found = {}
    for (_, reading), accuracy in taken.items():
        penalty = {"l2": list(accuracy.l2)} if config.l2 is None and accuracy.l2 else {}
        found[reading] = _values(accuracy) | penalty | more
    return found


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
    methods = dict.fromkeys("linear" if name == "fine-tune" else name for name in config.methods)
    configs = [replace(config, method=method, layer=None) for method in methods]
    sources = [
        (one, name, reading, take)
        for one in configs
        for name, reading, take in _baselines(language, find_task(language, task_name), one, cache)
    ]
    about = {"task": task_name, "language_fingerprint": language.fingerprint()}
    for number, (one, name, reading, take) in enumerate(sources):
        key: Row = {"model": None, "parameters": None, "seed": None, "step": None, "what": "probe", "method": name}
        key |= about | {"settings": json.dumps(one.settings(one.methods[0], reading), sort_keys=True)}
        key |= {} if reading.position is None else {"position": reading.position}
        if take is None:
            nothing = {"value": None, "stderr": None, "n": 0, "unit": "accuracy", "skipped": NO_LOOKUP}
            yield key | nothing | {"seconds": 0.0, "satlab": __version__}
        else:
            yield from _measured(file, key, partial(take, _part_of(on_part, number, 1, len(sources))))
        on_part(number + 1, len(sources))


Take = Callable[[Progress], list[Row]]


def _baselines(
    language: Language, task: Task, config: ProbeConfig, cache: str | None
) -> list[tuple[str, Reading, Take | None]]:
    """Name, reading and how it is taken of each baseline beside one method; None where there is none."""
    samples, how = asdict(config.samples), config.how(config.methods[0])
    assert isinstance(how, Optimum | AdamW)

    def rows(value: Estimate) -> list[Row]:
        return [_values(value) | {"unit": "accuracy"}]

    def majority(on_part: Progress) -> list[Row]:
        return rows(majority_class(language, task, **samples))

    def bayes(on_part: Progress) -> list[Row]:
        generator = random_stream(config.seed, "tasks", device=language.device)
        return rows(task.bayes_accuracy(config.test_sentences, generator))

    def lookup(reading: Reading, on_part: Progress) -> list[Row]:
        table, extraction = build_model("lookup", language).to(language.device), config.extraction(cache)
        given = (table, language, task)
        return rows(linear_probe(*given, **samples, method=how, reading=reading, extraction=extraction, on_fit=on_part))

    readings = config.readings(0, language.max_length)
    tables = [("lookup", reading, None if task.own_inputs else partial(lookup, reading)) for reading in readings]
    return [("majority", Reading(), majority), *tables, ("bayes", Reading(), bayes)]


def _measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of the file under this key; where there are none they are taken and added to it, all at once."""
    if known := known_rows(file, key):
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
