"""Short descriptions of how models were trained."""

from collections.abc import Mapping

from ...train import TrainConfig
from ..runs.run import Run


def algorithm(config: TrainConfig) -> str:
    """The optimiser, special targets and the adversary: "adamw", "sgd, exact targets", "adamw, against A"."""
    words = [config.optimizer]
    if config.targets != "sampled":
        words.append(f"{config.targets} targets")
    if config.adversary_task is not None:
        head = "" if config.adversary_head == "clipped" else f" by the {config.adversary_head} head"
        words.append(f"against {config.adversary_task}{head}")
    return ", ".join(words)


def ways_of(runs: Mapping[str, Run]) -> dict[str, str]:
    """Describes how each run was trained, in as much detail as is needed to distinguish the runs.

    Args:
        runs: name -> run.

    Returns:
        Name -> algorithm, such as "then sgd, lr 0.06". It begins with "then" for a second phase. It gives the learning
        rate if runs with the same model, phase and algorithm have different rates.
    """
    kinds = {name: (run.model, run.origin is not None, algorithm(run.config)) for name, run in runs.items()}
    ways = {}
    for name, run in runs.items():
        rates = {other.config.lr for key, other in runs.items() if kinds[key] == kinds[name]}
        rate = f", lr {run.config.lr:g}" if len(rates) > 1 else ""
        ways[name] = f"{'then ' if run.origin is not None else ''}{kinds[name][2]}{rate}"
    return ways
