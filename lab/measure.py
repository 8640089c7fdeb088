"""Measurements on a run's checkpoints: one row each, taken once.

A row: model, parameters (their number), seed, step (null for what belongs to the language), what, method, task, block,
settings (JSON), value, stderr, n, unit, seconds, satlab. What was measured before with the same settings is not measured again.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from .. import __version__
from ..disk import append_lines, read_lines
from ..errors import InputError, unknown
from ..estimate import Estimate
from ..flatness import METHODS, hessian_trace
from ..generators import Language
from ..generators.stream import evaluation_set
from ..generators.tasks import find_task
from ..models import MaskedLM, build_model, load_model
from ..probes import linear_probe, majority_class
from ..randomness import random_stream
from ..train import kl_to_truth
from .config import EvaluateConfig, FlatnessConfig, ProbeConfig
from .run import RESULTS, Run

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Probe methods that belong to the language and its task, not to a model."""

NO_LOOKUP = "the language's conditionals are not defined at this task's own inputs"


def check_method(name: str) -> None:
    """Raises InputError for an unknown flatness method, naming the nearest."""
    if name not in METHODS:
        raise unknown("flatness method", name, METHODS)


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
            model = load_model(folder)
            kl = kl_to_truth(model, held_out())
            yield _values(kl) | _size(model) | {"unit": "nats", "floor": held_out().floor.value}

        yield from _measured(run.folder / RESULTS, key, take)


def measure_flatness(run: Run, config: FlatnessConfig, step: int | None = None) -> Iterator[Row]:
    """Tr(H) for each checkpoint: a row for the total and one for each block of parameters."""
    check_method(config.method)
    sentences = run.language.sample(config.contexts, random_stream(config.seed, "evaluation", 2), latents=False)
    for at, folder in chosen_checkpoints(run, step):
        key = _key(run, at, "hessian_trace", config.method, config)

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder)
            trace = hessian_trace(
                model, sentences, config.method, config.draws, config.seed, run.config.masking or "one"
            )
            for block, value in [("total", trace), *sorted(trace.blocks.items())]:
                yield _values(value) | _size(model) | {"block": block, "unit": "nats per squared parameter"}

        yield from _measured(run.folder / RESULTS, key, take)


def measure_probe(run: Run, task_name: str, config: ProbeConfig, step: int | None = None) -> Iterator[Row]:
    """Downstream accuracy of a linear probe on each checkpoint's features."""
    task = find_task(run.language, task_name)
    for at, folder in chosen_checkpoints(run, step):
        key = _key(run, at, "probe", "linear", config) | {"task": task_name}

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder)
            accuracy = linear_probe(model, run.language, task, **asdict(config))
            yield _values(accuracy) | _size(model) | {"unit": "accuracy"}

        yield from _measured(run.folder / RESULTS, key, take)


def measure_baselines(language: Language, task_name: str, config: ProbeConfig, file: Path) -> Iterator[Row]:
    """What stands beside every probe of a task: majority class, a probe on the look-up table, the Bayes optimum.

    The rows are kept in the file; they belong to the language and have no step. A task with inputs of its own has no
    look-up table: instead comes a row of value null that says so under the key skipped, and is not kept.
    """
    task, samples = find_task(language, task_name), {k: v for k, v in asdict(config).items() if k != "l2"}
    tasks = random_stream(config.seed, "tasks", device=language.device)
    sources: dict[str, Callable[[], Estimate]] = {
        "majority": lambda: majority_class(language, task, **samples),
        "lookup": lambda: linear_probe(build_model("lookup", language), language, task, **asdict(config)),
        "bayes": lambda: task.bayes_accuracy(config.test_sentences, tasks),
    }
    for method in BASELINES:
        key: Row = {"model": None, "parameters": None, "seed": None, "step": None}
        key |= {"what": "probe", "method": method, "task": task_name, "settings": _settings(config)}
        if method == "lookup" and task.own_inputs:
            nothing = {"value": None, "stderr": None, "n": 0, "unit": "accuracy", "skipped": NO_LOOKUP}
            yield key | nothing | {"seconds": 0.0, "satlab": __version__}
            continue

        def take(method: str = method) -> list[Row]:
            return [_values(sources[method]()) | {"unit": "accuracy"}]

        yield from _measured(file, key, take)


def _measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of the file under this key; where there are none they are taken and added to it, all at once."""
    known = [row for row in read_lines(file) if all(row.get(name) == value for name, value in key.items())]
    if known:
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


def _settings(config: Any) -> str:
    return json.dumps(asdict(config), sort_keys=True)
