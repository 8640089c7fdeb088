"""KL(truth || model) on held-out sentences."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from ...errors import at_least, check_types
from ...generators.batches import evaluation_set
from ...models import load_model
from ...train import kl_to_truth
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import RESULTS, Run
from .measure import Row, key_of, measured, size_of, values_of


@dataclass(frozen=True)
class EvaluateConfig:
    """KL(truth || model) on held-out sentences.

    Args:
        sentences: held-out sentences, with words hidden as in training.
        seed: seed of the held-out sentences.
    """

    sentences: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        at_least("sentences", self.sentences, 2)
        at_least("seed", self.seed, 0)


def measure_kl(run: Run, config: EvaluateConfig, step: int | None = None) -> Iterator[Row]:
    """Yields a row for each checkpoint: KL(truth || model) and the floor of the same held-out contexts, nats."""
    # Not the held-out sentences of training, which decided when to stop.
    held_out = cache(
        lambda: evaluation_set(run.language, config.sentences, config.seed, run.config.masking or "one", "measurement")
    )
    for at, folder in chosen_checkpoints(run, step):
        key = key_of(run, at, "kl", "exact-truth", json.dumps(asdict(config), sort_keys=True))

        def take(folder: Path = folder) -> Iterator[Row]:
            model = load_model(folder).to(run.language.device)
            kl = kl_to_truth(model, held_out())
            floor = held_out().floor
            yield values_of(kl) | size_of(model) | {"unit": "nats", "floor": floor.value, "floor_stderr": floor.stderr}

        yield from measured(run.folder / RESULTS, key, take)
