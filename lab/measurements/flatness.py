"""Measures the flatness of a run's checkpoints by any registered measure."""

from collections.abc import Iterator
from pathlib import Path

from ...flatness import Problem
from ...models import load_model
from ...models.names import canonical_name
from ...models.widen import widen
from ...randomness import random_stream
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import RESULTS, Run
from .flatness_config import FlatnessConfig
from .measure import Row, key_of, measured, size_of, values_of


def measure_flatness(
    run: Run, config: FlatnessConfig, step: int | None = None, enlarge_to: str | None = None
) -> Iterator[Row]:
    """Measures Tr(H), or another quantity, of each checkpoint.

    Args:
        run: the run to measure. Its results file keeps the rows.
        config: the measure and its settings.
        step: the step of one checkpoint; all checkpoints unless given.
        enlarge_to: measure the same function inside this larger model instead (see models/widen.py). The quantity then
            has the suffix _enlarged; model and parameters in the row remain those of the small model.

    Yields:
        A row for the total, and one for each block.
    """
    measure = config.measure
    enlarge_to = None if enlarge_to is None else canonical_name(enlarge_to)
    what = measure.what
    generator = random_stream(config.seed, "evaluation", 2, device=run.language.device)
    sentences = run.language.sample(config.contexts, generator, latents=False)
    for at, folder in chosen_checkpoints(run, step):
        key = key_of(run, at, what, config.method, config.settings())
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
