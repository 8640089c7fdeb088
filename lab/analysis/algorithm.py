"""How a model was trained, in a few words."""

from collections.abc import Mapping

from ...train import TrainConfig
from ..runs.run import Run


def algorithm(config: TrainConfig) -> str:
    """The optimiser, and what else sets a training apart: "adamw", "sgd, exact targets", "adamw, against A"."""
    words = [config.optimizer]
    if config.targets != "sampled":
        words.append(f"{config.targets} targets")
    if config.adversary_task is not None:
        head = "" if config.adversary_head == "clipped" else f" by the {config.adversary_head} head"
        words.append(f"against {config.adversary_task}{head}")
    return ", ".join(words)


def ways_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """Returns for each run how it was trained, told apart as far as the runs differ.

    Args:
        runs: name -> run.

    Returns:
        Name -> algorithm; after "then" for a second phase, with the learning rate where several second phases, or
        several first ones, of one model and algorithm have different rates: "then sgd, lr 0.06".
    """
    kinds = {name: (run.model, run.origin is not None, algorithm(run.config)) for name, run in runs.items()}
    ways = {}
    for name, run in runs.items():
        rates = {other.config.lr for key, other in runs.items() if kinds[key] == kinds[name]}
        rate = f", lr {run.config.lr:g}" if len(rates) > 1 else ""
        ways[name] = f"{'then ' if run.origin is not None else ''}{kinds[name][2]}{rate}"
    return ways
