"""Measurements on a run's checkpoints: one row each, taken once, on the device that the run's language is on.

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

from ... import __version__
from ...errors import InputError, unknown
from ...estimate import Estimate
from ...generators.batches import evaluation_set
from ...models import MaskedLM, load_model
from ...models.widen import widen
from ...randomness import random_stream
from ...system.disk import append_lines
from ...train import kl_to_truth
from ..config import EvaluateConfig, FlatnessConfig
from ..runs.run import RESULTS, Run
from .flatness import FLATNESS, Measurement
from .result_cache import known_rows, of_method

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Probe methods that belong to the language and its task, not to a model."""

ENLARGED = "hessian_trace_enlarged"
"""What a trace inside a larger model is called."""


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
            yield values_of(kl) | size_of(model) | {"unit": "nats", "floor": floor.value, "floor_stderr": floor.stderr}

        yield from measured(run.folder / RESULTS, key, take)


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
                yield values_of(value) | size_of(model) | more

        yield from measured(run.folder / RESULTS, key, take)


def measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
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


def values_of(estimate: Estimate) -> Row:
    """value, stderr and n of a row."""
    # A single draw has no standard error; JSON has no nan.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def size_of(model: MaskedLM) -> Row:
    """The number of parameters, tied ones once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}


def _settings(config: Any, **more: Any) -> str:
    return json.dumps(asdict(config) | more, sort_keys=True)
