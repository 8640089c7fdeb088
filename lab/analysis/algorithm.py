"""How a model was trained, in a few words."""

from ...train import TrainConfig


def algorithm(config: TrainConfig) -> str:
    """The optimiser, and what else sets a training apart: "adamw", "sgd, exact targets", "adamw, against A"."""
    words = [config.optimizer]
    if config.targets != "sampled":
        words.append(f"{config.targets} targets")
    if config.adversary_task is not None:
        head = "" if config.adversary_head == "clipped" else f" by the {config.adversary_head} head"
        words.append(f"against {config.adversary_task}{head}")
    return ", ".join(words)
