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
from ...errors import InputError
from ...estimate import Estimate
from ...flatness import Problem
from ...generators.batches import evaluation_set
from ...models import MaskedLM, load_model
from ...models.widen import widen
from ...randomness import random_stream
from ...system.disk import append_missing, check_appendable
from ...train import kl_to_truth
from ..config import EvaluateConfig
from ..runs.run import RESULTS, Run
from .flatness_config import FlatnessConfig
from .result_cache import known_rows, of_key

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Probe methods that belong to the language and its task, not to a model."""

ENLARGED = "hessian_trace_enlarged"
"""What a trace inside a larger model is called."""


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
        key = _key(run, at, "kl", "exact-truth", json.dumps(asdict(config), sort_keys=True))

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
    measure = config.measure
    what = measure.what
    generator = random_stream(config.seed, "evaluation", 2, device=run.language.device)
    sentences = run.language.sample(config.contexts, generator, latents=False)
    for at, folder in chosen_checkpoints(run, step):
        key = _key(run, at, what, config.method, config.settings())
        if enlarge_to is not None:
            key |= {"what": f"{what}_enlarged", "settings": config.settings(enlarge_to=enlarge_to)}

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder)
            viewed = (model if enlarge_to is None else widen(model, enlarge_to)).to(run.language.device)
            problem = Problem(sentences, run.config.masking or "one", config.seed, run.language)
            for found in measure.measure(viewed, problem):
                named = {"block": found.block, "unit": found.unit}
                yield values_of(found.estimate) | size_of(model) | named | dict(found.more)

        yield from measured(run.folder / RESULTS, key, take)


def measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of the file under this key; where there are none they are taken and added to it, all at once.

    Where another process has added them meanwhile, its rows are the ones. Raises OSError, before anything is taken, where
    the file cannot be written.
    """
    if known := known_rows(file, key):
        return known
    check_appendable(file)
    begin = time.perf_counter()
    taken = list(take())
    shared = {"seconds": time.perf_counter() - begin, "satlab": __version__}
    rows = [key | row | shared for row in taken]
    return append_missing(file, lambda there: [] if of_key(there, key) else rows) or known_rows(file, key)


def _key(run: Run, step: int, what: str, method: str, settings: str) -> Row:
    of_run = {"model": run.model, "seed": run.config.seed, "step": step}
    return of_run | {"what": what, "method": method, "settings": settings}


def values_of(estimate: Estimate) -> Row:
    """value, stderr and n of a row."""
    # A single draw has no standard error; JSON has no nan.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def size_of(model: MaskedLM) -> Row:
    """The number of parameters, tied ones once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
